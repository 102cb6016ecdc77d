#include "io/torch_tensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "core/error.h"
#include "io/safetensors_header.h"

namespace gsnet::io {
namespace {

using Kind = PickleValue::Kind;

constexpr int kDeepest = 32;
constexpr size_t kMostEntries = size_t{1} << 18U;
constexpr size_t kLongestText = 256;  // of names, and of texts that are kept

constexpr std::array<std::string_view, 16> kGlobals = {"collections.OrderedDict",
                                                       "torch._utils._rebuild_tensor",
                                                       "torch._utils._rebuild_tensor_v2",
                                                       "torch._utils._rebuild_parameter",
                                                       "torch._utils._rebuild_parameter_with_state",
                                                       "torch.Size",
                                                       "torch.FloatStorage",
                                                       "torch.DoubleStorage",
                                                       "torch.HalfStorage",
                                                       "torch.BFloat16Storage",
                                                       "torch.LongStorage",
                                                       "torch.IntStorage",
                                                       "torch.ShortStorage",
                                                       "torch.CharStorage",
                                                       "torch.ByteStorage",
                                                       "torch.BoolStorage"};

constexpr std::array<std::pair<std::string_view, DType>, 8> kTypes = {{{"torch.FloatStorage", DType::f32},
                                                                       {"torch.DoubleStorage", DType::f64},
                                                                       {"torch.HalfStorage", DType::f16},
                                                                       {"torch.BFloat16Storage", DType::bf16},
                                                                       {"torch.LongStorage", DType::i64},
                                                                       {"torch.IntStorage", DType::i32},
                                                                       {"torch.ByteStorage", DType::u8},
                                                                       {"torch.BoolStorage", DType::u8}}};

/// Whether the last element of a view lies in its storage, and the view is not larger than that.
bool reaches(const TorchView& view, int64_t numel) {
  int64_t last = view.offset;
  for (int i = 0; i < view.shape.rank(); ++i) {
    int64_t step = 0;
    const int64_t stride = view.strides[static_cast<size_t>(i)];
    if (stride < 0 || __builtin_mul_overflow(view.shape[i] - 1, stride, &step)) return false;
    if (view.shape[i] > 0 && __builtin_add_overflow(last, step, &last)) return false;
  }
  const bool empty = view.shape.numel() == 0;
  return view.offset >= 0 && view.shape.numel() <= numel && (empty ? view.offset <= numel : last < numel);
}

class Walker {
 public:
  explicit Walker(const Pickle& pickle) : pickle_(pickle) {}

  TorchContent run() {
    walk(pickle_.root, "", 0);
    return std::move(content_);
  }

 private:
  void walk(uint32_t id, const std::string& name, int depth);
  void walk_dict(const PickleValue& dict, const std::string& name, int depth);
  void walk_call(const PickleValue& call, const std::string& name, int depth);
  void add_view(const PickleValue& call, const std::string& name);
  size_t storage_of(uint32_t id, const std::string& name);
  void keep(const std::string& name, std::string text);

  const PickleValue& expect(uint32_t id, Kind kind, const std::string& name, const char* what) const;
  std::vector<int64_t> integers(uint32_t id, const std::string& name, const char* what) const;
  static std::string joined(const std::string& name, const std::string& key) {
    return name.empty() ? key : fmt::format("{}.{}", name, key);
  }

  const Pickle& pickle_;
  TorchContent content_;
  std::unordered_map<std::string, size_t> places_;  // of storages, by key
  std::unordered_set<std::string> names_;
  size_t entries_ = 0;
};

const PickleValue& Walker::expect(uint32_t id, Kind kind, const std::string& name, const char* what) const {
  const PickleValue& value = pickle_.at(id);
  GSNET_CHECK(value.kind == kind, fmt::format("'{}': its {} is {}, expected {}", shown(name), what,
                                              kind_name(value.kind), kind_name(kind)));
  return value;
}

std::vector<int64_t> Walker::integers(uint32_t id, const std::string& name, const char* what) const {
  const PickleValue* value = &pickle_.at(id);
  if (value->kind == Kind::call && value->items.size() == 2 && pickle_.at(value->items[0]).text == "torch.Size") {
    value = &pickle_.at(value->items[1]);
  }
  GSNET_CHECK(value->kind == Kind::tuple && value->items.size() <= static_cast<size_t>(Shape::kMaxRank),
              fmt::format("'{}': its {} is {} of {} items, expected a tuple of at most {} integers", shown(name), what,
                          kind_name(value->kind), value->items.size(), Shape::kMaxRank));
  std::vector<int64_t> numbers;
  for (const uint32_t item : value->items) numbers.push_back(expect(item, Kind::integer, name, what).integer);
  return numbers;
}

void Walker::keep(const std::string& name, std::string text) {
  if (text.size() <= kLongestText) content_.metadata.emplace(name, std::move(text));
}

void Walker::walk(uint32_t id, const std::string& name, int depth) {
  GSNET_CHECK(depth <= kDeepest, fmt::format("'{}' nests deeper than {}", shown(name), kDeepest));
  GSNET_CHECK(++entries_ <= kMostEntries, fmt::format("there are more than {} entries", kMostEntries));
  const PickleValue& value = pickle_.at(id);
  switch (value.kind) {
    case Kind::none:
    case Kind::long_integer:
      return;
    case Kind::flag:
      return keep(name, value.integer != 0 ? "True" : "False");
    case Kind::integer:
      return keep(name, fmt::format("{}", value.integer));
    case Kind::real:
      return keep(name, fmt::format("{}", value.real));
    case Kind::text:
      return keep(name, value.text);
    case Kind::dict:
      return walk_dict(value, name, depth);
    case Kind::list:
    case Kind::tuple:
      for (size_t i = 0; i < value.items.size(); ++i) walk(value.items[i], joined(name, std::to_string(i)), depth + 1);
      return;
    case Kind::call:
      return walk_call(value, name, depth);
    default:
      throw Error(fmt::format("'{}' is {}, expected a tensor, a number, a text, or a dict, list or tuple of them",
                              shown(name), kind_name(value.kind)));
  }
}

void Walker::walk_dict(const PickleValue& dict, const std::string& name, int depth) {
  for (size_t i = 0; i + 1 < dict.items.size(); i += 2) {
    const PickleValue& key = pickle_.at(dict.items[i]);
    GSNET_CHECK(key.kind == Kind::text || key.kind == Kind::integer,
                fmt::format("a key of '{}' is {}, expected a text or an integer", shown(name), kind_name(key.kind)));
    GSNET_CHECK(name.size() + key.text.size() < kLongestText,
                fmt::format("a name below '{}' is longer than {} bytes", shown(name), kLongestText));
    const std::string own = key.kind == Kind::text ? key.text : std::to_string(key.integer);
    walk(dict.items[i + 1], joined(name, own), depth + 1);
  }
}

void Walker::walk_call(const PickleValue& call, const std::string& name, int depth) {
  const std::string& callable = pickle_.at(call.items[0]).text;
  if (callable == "torch._utils._rebuild_tensor" || callable == "torch._utils._rebuild_tensor_v2") {
    return add_view(call, name);
  }
  const bool parameter = callable.starts_with("torch._utils._rebuild_parameter");
  GSNET_CHECK((parameter || callable == "torch.Size") && call.items.size() >= 2,
              fmt::format("'{}' is a call of {} with {} arguments, which makes no tensor", shown(name), callable,
                          call.items.size() - 1));
  walk(call.items[1], name, depth + 1);
}

/// (storage, offset, sizes, strides, …)
void Walker::add_view(const PickleValue& call, const std::string& name) {
  GSNET_CHECK(call.items.size() >= 5,
              fmt::format("'{}' is a tensor of {} parts, expected at least 4", shown(name), call.items.size() - 1));
  GSNET_CHECK(names_.insert(name).second, fmt::format("two tensors are named '{}'", shown(name)));
  TorchView view{.name = name, .storage = storage_of(call.items[1], name)};
  view.offset = expect(call.items[2], Kind::integer, name, "offset").integer;
  const std::vector<int64_t> sizes = integers(call.items[3], name, "size");
  view.strides = integers(call.items[4], name, "stride");
  GSNET_CHECK(sizes.size() == view.strides.size(),
              fmt::format("'{}' has {} sizes and {} strides", shown(name), sizes.size(), view.strides.size()));
  try {
    view.shape = Shape(std::span<const int64_t>(sizes));
  } catch (const Error& error) {
    throw Error(fmt::format("'{}': {}", shown(name), error.what()));
  }
  const TorchStorage& storage = content_.storages[view.storage];
  GSNET_CHECK(reaches(view, storage.numel),
              fmt::format("'{}' of {} from element {} does not fit into its storage '{}' of {}", shown(name),
                          to_string(view.shape), view.offset, shown(storage.key), storage.numel));
  content_.views.push_back(std::move(view));
}

/// ('storage', type, key, location, numel), and None or a view of the storage in old files.
size_t Walker::storage_of(uint32_t id, const std::string& name) {
  const std::vector<uint32_t>& outer = expect(id, Kind::persistent, name, "storage").items;
  const std::vector<uint32_t>& parts = expect(outer[0], Kind::tuple, name, "storage").items;
  GSNET_CHECK(
      parts.size() == 5 || (parts.size() == 6 && pickle_.at(parts[5]).kind == Kind::none),
      fmt::format("'{}' has a storage of {} parts, expected five, or six with None last", shown(name), parts.size()));
  const std::string& word = expect(parts[0], Kind::text, name, "storage's word").text;
  GSNET_CHECK(word == "storage", fmt::format("'{}' refers to '{}', expected 'storage'", shown(name), shown(word)));
  const std::string& type = expect(parts[1], Kind::global, name, "storage's type").text;
  const auto* known = std::ranges::find(kTypes, type, &std::pair<std::string_view, DType>::first);
  GSNET_CHECK(known != kTypes.end(),
              fmt::format("'{}' has elements of {}, expected f64, f32, f16, bf16, i64, i32 or u8", shown(name), type));
  const TorchStorage storage{expect(parts[2], Kind::text, name, "storage's key").text, known->second,
                             expect(parts[4], Kind::integer, name, "storage's length").integer};
  GSNET_CHECK(storage.numel >= 0 && storage.key.size() <= kLongestText,
              fmt::format("'{}' has a storage of {} elements", shown(name), storage.numel));
  const auto [place, added] = places_.try_emplace(storage.key, content_.storages.size());
  if (added) content_.storages.push_back(storage);
  GSNET_CHECK(content_.storages[place->second] == storage,
              fmt::format("'{}' and another tensor differ about storage '{}'", shown(name), shown(storage.key)));
  return place->second;
}

/// The elements of a view, row by row.
Tensor copied(const TorchView& view, const Tensor& storage) {
  Tensor copy = Tensor::empty(view.shape, storage.dtype());
  const size_t size = size_of(storage.dtype());
  const auto* from = static_cast<const std::byte*>(storage.raw());
  auto* to = static_cast<std::byte*>(copy.raw());
  std::array<int64_t, Shape::kMaxRank> index{};
  int64_t at = view.offset;
  for (int64_t i = 0; i < view.shape.numel(); ++i) {
    std::memcpy(to + static_cast<size_t>(i) * size, from + static_cast<size_t>(at) * size, size);
    for (int axis = view.shape.rank() - 1; axis >= 0; --axis) {
      const auto a = static_cast<size_t>(axis);
      at += view.strides[a];
      if (++index[a] < view.shape[axis]) break;
      at -= view.strides[a] * index[a];
      index[a] = 0;
    }
  }
  return copy;
}

bool is_contiguous(const TorchView& view) {
  int64_t expected = 1;
  for (int i = view.shape.rank() - 1; i >= 0; --i) {
    if (view.shape[i] != 1 && view.strides[static_cast<size_t>(i)] != expected) return false;
    expected *= view.shape[i];
  }
  return true;
}

}  // namespace

std::span<const std::string_view> torch_globals() { return kGlobals; }

TorchContent torch_content(const Pickle& pickle) { return Walker(pickle).run(); }

TensorFile torch_tensors(const TorchContent& content, std::span<const Tensor> storages) {
  uint64_t bytes = 0, copies = 0;
  for (const Tensor& storage : storages) bytes += storage.bytes();
  TensorFile file;
  file.metadata = content.metadata;
  for (const TorchView& view : content.views) {
    const Tensor& storage = storages[view.storage];
    if (view.shape.numel() == 0) {
      file.tensors.emplace_back(view.name, Tensor::empty(view.shape, storage.dtype()));
    } else if (is_contiguous(view)) {
      file.tensors.emplace_back(view.name, storage.rows(view.offset, view.shape.numel()).view(view.shape));
    } else {
      copies += static_cast<uint64_t>(view.shape.numel()) * size_of(storage.dtype());
      GSNET_CHECK(copies <= 4 * bytes, fmt::format("'{}': rearranged tensors take more than four times the {} bytes of "
                                                   "the storages",
                                                   shown(view.name), bytes));
      file.tensors.emplace_back(view.name, copied(view, storage));
    }
  }
  return file;
}

}  // namespace gsnet::io
