// Failures of the vault, on their way to JavaScript. Carries no key bytes.
#pragma once

#include <stdexcept>
#include <string>

namespace qkme::vault {

/// An expected failure. `code` is one of KmeErrorCode (src/kernel/errors.ts).
class VaultError : public std::runtime_error {
 public:
  VaultError(const char* code, const std::string& message) : std::runtime_error(message), code_(code) {}
  const char* code() const { return code_; }

 private:
  const char* code_;
};

/// A broken invariant: a bug of the caller. Reaches JavaScript as a plain Error without a code.
class InvariantError : public std::logic_error {
 public:
  explicit InvariantError(const std::string& what) : std::logic_error("invariant violated: " + what) {}
};

/// Throws InvariantError unless `condition`. `what` is a literal, so the good path allocates nothing.
inline void Require(bool condition, const char* what) {
  if (!condition) [[unlikely]] throw InvariantError(what);
}

}  // namespace qkme::vault
