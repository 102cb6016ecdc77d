// What sets that change another one have in common.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "data/dataset.h"

namespace gsnet::data {

/// Another set, but for what is overridden.
class Wrapped : public Dataset {
 public:
  explicit Wrapped(std::shared_ptr<const Dataset> whole) : whole_(std::move(whole)) {
    GSNET_CHECK(whole_ != nullptr, "pictures: no data set was given");
  }

  int64_t size() const override { return whole_->size(); }
  PictureShape picture() const override { return whole_->picture(); }
  const std::vector<std::string>& class_names() const override { return whole_->class_names(); }
  int label(int64_t i) const override { return whole_->label(i); }
  void read(int64_t i, std::span<uint8_t> pixels) const override { whole_->read(i, pixels); }
  std::string name(int64_t i) const override { return whole_->name(i); }

 protected:
  const Dataset& whole() const { return *whole_; }

 private:
  std::shared_ptr<const Dataset> whole_;
};

}  // namespace gsnet::data
