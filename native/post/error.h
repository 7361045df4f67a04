// What goes wrong in post-processing. A wrong argument of our own caller is a bug; what the other party sends
// is untrusted and is refused with a code.
#pragma once

#include <stdexcept>
#include <string>

namespace qkme::post {

/// An expected failure: `code` is one of KmeErrorCode. Carries no key bits.
class PostError : public std::runtime_error {
 public:
  PostError(const char* code, const std::string& message) : std::runtime_error(message), code_(code) {}
  const char* code() const { return code_; }

 private:
  const char* code_;
};

/// A broken invariant: a bug of the caller.
inline void Require(bool condition, const char* what) {
  if (!condition) throw std::logic_error(std::string("invariant violated: ") + what);
}

}  // namespace qkme::post
