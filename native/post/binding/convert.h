// Arguments and failures of the post-processing addon. A wrong argument is a bug of the caller and throws a plain
// Error that begins "invariant violated"; an expected failure carries a `code` of KmeErrorCode.
#pragma once

#include <napi.h>

#include <cstdint>
#include <span>

#include "post/error.h"

namespace qkme::post::binding {

/// A Uint8Array or Buffer. Valid until control returns to JavaScript.
inline std::span<uint8_t> Bytes(const Napi::Value& value) {
  Require(value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array, "a bytes argument is a Uint8Array");
  auto array = value.As<Napi::Uint8Array>();
  return {array.Data(), array.ByteLength()};
}

/// A whole number from `low` to `high`.
inline uint64_t Whole(const Napi::Value& value, uint64_t low, uint64_t high, const char* what) {
  Require(value.IsNumber(), what);
  const double number = value.As<Napi::Number>().DoubleValue();
  Require(number >= static_cast<double>(low) && number <= static_cast<double>(high), what);
  const auto whole = static_cast<uint64_t>(number);
  Require(static_cast<double>(whole) == number, what);
  return whole;
}

/// A fresh Uint8Array of `length` zero bytes.
inline Napi::Uint8Array NewBytes(Napi::Env env, size_t length) { return Napi::Uint8Array::New(env, length); }

/// Runs `body()`; C++ failures become JavaScript ones.
template <typename Body>
auto Guarded(Napi::Env env, Body body) -> decltype(body()) {
  try {
    return body();
  } catch (const PostError& error) {
    Napi::Error failure = Napi::Error::New(env, error.what());
    failure.Set("code", Napi::String::New(env, error.code()));
    throw failure;
  } catch (const std::logic_error& error) {
    throw Napi::Error::New(env, error.what());
  } catch (const std::bad_alloc&) {
    Napi::Error failure = Napi::Error::New(env, "out of memory in the post-processing addon");
    failure.Set("code", Napi::String::New(env, "INTERNAL"));
    throw failure;
  }
}

}  // namespace qkme::post::binding
