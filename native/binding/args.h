// Arguments of N-API calls, read without wrappers: a request makes one such call, and it must cost little.
// A wrong argument is a bug of the caller and throws InvariantError.
#pragma once

#include <node_api.h>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <new>
#include <span>
#include <string>
#include <string_view>

#include "vault/error.h"

namespace qkme::binding {

class Args {
 public:
  static constexpr size_t kMax = 10;

  Args(napi_env env, napi_callback_info info) : env_(env) {
    count_ = kMax;
    Ok(napi_get_cb_info(env, info, &count_, values_, nullptr, &data_));
  }

  napi_env env() const { return env_; }
  /// What the function was created with.
  void* data() const { return data_; }

  /// Whether the argument is there: false if it is left out or undefined.
  bool Has(size_t i) const {
    napi_valuetype type = napi_undefined;
    return i < count_ && napi_typeof(env_, values_[i], &type) == napi_ok && type != napi_undefined;
  }

  uint32_t U32(size_t i) const {
    double value = 0;
    const bool number = napi_get_value_double(env_, values_[i], &value) == napi_ok;
    vault::Require(number && value >= 0 && value <= UINT32_MAX && value == static_cast<uint32_t>(value),
                   "a number argument is an integer of 32 bits");
    return static_cast<uint32_t>(value);
  }

  /// An integer that a JavaScript number holds exactly.
  uint64_t U53(size_t i) const {
    double value = 0;
    const bool number = napi_get_value_double(env_, values_[i], &value) == napi_ok;
    vault::Require(number && value >= 0 && value < 9007199254740992.0 && value == static_cast<double>(static_cast<uint64_t>(value)),
                   "a number argument is an integer below 2^53");
    return static_cast<uint64_t>(value);
  }

  bool Bool(size_t i) const {
    bool value = false;
    vault::Require(napi_get_value_bool(env_, values_[i], &value) == napi_ok, "a flag argument is a boolean");
    return value;
  }

  /// A Uint8Array or Buffer. Valid until control returns to JavaScript.
  std::span<uint8_t> Bytes(size_t i) const {
    return TypedArray<uint8_t>(i, napi_uint8_array, "a bytes argument is a Uint8Array");
  }

  std::span<uint32_t> Words(size_t i) const {
    return TypedArray<uint32_t>(i, napi_uint32_array, "a numbers argument is a Uint32Array");
  }

  /// UTF-8 copied into `buffer`; one byte of it stays unused.
  std::string_view Text(size_t i, std::span<char> buffer) const {
    size_t length = 0;
    vault::Require(napi_get_value_string_utf8(env_, values_[i], buffer.data(), buffer.size(), &length) == napi_ok,
                   "a text argument is a string");
    // N-API cuts off what does not fit, at worst the three bytes of a character before the terminator.
    vault::Require(length + 4 < buffer.size(), "a text argument is not longer than its bound");
    return {buffer.data(), length};
  }

  /// As Text; a text that is left out is empty, and costs less.
  std::string_view OptionalText(size_t i, std::span<char> buffer) const {
    return Has(i) ? Text(i, buffer) : std::string_view();
  }

  std::string Path(size_t i) const {
    char buffer[4096];
    const std::string_view text = Text(i, buffer);
    vault::Require(!text.empty() && text.find('\0') == std::string_view::npos, "a path is not empty and holds no zero byte");
    return std::string(text);
  }

  // Results.
  napi_value Number(double value) const {
    napi_value result = nullptr;
    Ok(napi_create_double(env_, value, &result));
    return result;
  }
  napi_value Int(int32_t value) const {
    napi_value result = nullptr;
    Ok(napi_create_int32(env_, value, &result));
    return result;
  }
  napi_value Boolean(bool value) const {
    napi_value result = nullptr;
    Ok(napi_get_boolean(env_, value, &result));
    return result;
  }
  napi_value Undefined() const {
    napi_value result = nullptr;
    Ok(napi_get_undefined(env_, &result));
    return result;
  }
  napi_value String(std::string_view text) const {
    napi_value result = nullptr;
    Ok(napi_create_string_utf8(env_, text.data(), text.size(), &result));
    return result;
  }
  /// A fresh Uint8Array of `length` zero bytes.
  napi_value NewBytes(size_t length, uint8_t** bytes) const {
    void* data = nullptr;
    napi_value buffer = nullptr;
    napi_value result = nullptr;
    Ok(napi_create_arraybuffer(env_, length, &data, &buffer));
    Ok(napi_create_typedarray(env_, napi_uint8_array, length, buffer, 0, &result));
    *bytes = static_cast<uint8_t*>(data);
    return result;
  }

  void Ok(napi_status status) const {
    if (status != napi_ok) [[unlikely]] throw vault::VaultError("INTERNAL", "the JavaScript engine refused a call of the addon");
  }

 private:
  template <typename T>
  std::span<T> TypedArray(size_t i, napi_typedarray_type wanted, const char* what) const {
    napi_typedarray_type type = napi_int8_array;
    size_t length = 0;
    void* data = nullptr;
    const bool good = napi_get_typedarray_info(env_, values_[i], &type, &length, &data, nullptr, nullptr) == napi_ok;
    vault::Require(good && type == wanted, what);
    return {static_cast<T*>(data), length};
  }

  napi_env env_;
  size_t count_;
  napi_value values_[kMax];
  void* data_ = nullptr;
};

/// Throws a plain JavaScript Error, with `code` as a property unless it is nullptr.
inline void ThrowError(napi_env env, const char* code, const char* message) {
  napi_throw_error(env, code, message);
}

/// Runs `body(args)`; C++ failures become JavaScript ones.
template <typename Body>
napi_value Guarded(napi_env env, napi_callback_info info, Body body) {
  try {
    const Args args(env, info);
    return body(args);
  } catch (const vault::VaultError& error) {
    ThrowError(env, error.code(), error.what());
  } catch (const vault::InvariantError& error) {
    ThrowError(env, nullptr, error.what());
  } catch (const std::bad_alloc&) {
    ThrowError(env, "INTERNAL", "out of memory in the addon");
  } catch (const std::exception& error) {
    ThrowError(env, "INTERNAL", error.what());
  }
  return nullptr;
}

}  // namespace qkme::binding
