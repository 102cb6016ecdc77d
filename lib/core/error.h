// The one error type, and the check that throws it where the mistake is made.
#pragma once

#include <stdexcept>
#include <string>

namespace gsnet {

/// Bad input, impossible request, failed system call: one sentence that names the operation, what was expected and
/// what came. Bugs of ours are assertions, not errors.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace gsnet

/// Throws Error(message) unless the condition holds; the message is built only then.
#define GSNET_CHECK(condition, message) \
  do {                                  \
    if (!(condition)) {                 \
      throw ::gsnet::Error(message);    \
    }                                   \
  } while (false)
