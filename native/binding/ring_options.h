// Reading of options that JavaScript gives to a ring, and the errors that go back.
#pragma once

#include "binding/napi_catching.h"

#include <array>
#include <string>

#include "frame_mac.h"
#include "region.h"
#include "vault/error.h"
#include "vault/key_file.h"
#include "vault/locked_memory.h"

namespace qkme::binding {

/// A JavaScript Error with `code`.
inline Napi::Error CodedError(Napi::Env env, const char* code, const std::string& message) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  return error;
}

/// Runs `body`; C++ failures become JavaScript errors with their code.
template <class Body>
auto Guard(Napi::Env env, Body body) -> decltype(body()) {
  try {
    return body();
  } catch (const RingError& e) {
    throw CodedError(env, "RING_INVALID", e.what());
  } catch (const vault::VaultError& e) {
    throw CodedError(env, e.code(), e.what());
  } catch (const Napi::Error&) {
    throw;
  } catch (const std::exception& e) {
    throw Napi::Error::New(env, e.what());
  }
}

inline void Expect(Napi::Env env, bool condition, const char* what) {
  if (!condition) throw Napi::Error::New(env, std::string("invariant violated: ") + what);
}

inline uint32_t U32(Napi::Env env, const Napi::Value& value, const char* what) {
  Expect(env, value.IsNumber(), what);
  const double number = value.As<Napi::Number>().DoubleValue();
  Expect(env, number >= 0 && number <= UINT32_MAX && number == uint32_t(number), what);
  return uint32_t(number);
}

/// An integer that a JavaScript number holds exactly.
inline uint64_t U53(Napi::Env env, const Napi::Value& value, const char* what) {
  Expect(env, value.IsNumber(), what);
  const double number = value.As<Napi::Number>().DoubleValue();
  Expect(env, number >= 0 && number < 9007199254740992.0 && number == double(uint64_t(number)), what);
  return uint64_t(number);
}

/// Missing members are `fallback`.
inline uint32_t U32Option(const Napi::Object& options, const char* name, uint32_t fallback) {
  const Napi::Value value = options.Get(name);
  return value.IsUndefined() ? fallback : U32(options.Env(), value, name);
}

inline std::string TextOption(const Napi::Object& options, const char* name) {
  const Napi::Value value = options.Get(name);
  if (value.IsUndefined()) return "";
  Expect(options.Env(), value.IsString(), name);
  return value.As<Napi::String>().Utf8Value();
}

template <class Array>
Array Typed(Napi::Env env, const Napi::Value& value, napi_typedarray_type type, size_t length_min, const char* what) {
  Expect(env, value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == type, what);
  const Array array = value.As<Array>();
  Expect(env, array.ElementLength() >= length_min, what);
  return array;
}

/// Goes wiped, however it goes.
struct MacKey : std::array<uint8_t, FrameMac::kKeyBytes> {
  ~MacKey() { vault::Wipe(data(), size()); }
};

/// A MAC from the key file at option `macKeyPath` (32 bytes, mode 0600), or none.
inline std::unique_ptr<MacKey> MacKeyOption(const Napi::Object& options) {
  const std::string path = TextOption(options, "macKeyPath");
  if (path.empty()) return nullptr;
  auto key = std::make_unique<MacKey>();
  if (vault::ReadSecretFile(path, key->data(), key->size()) != key->size()) {
    throw RingError("MAC key file " + path + ": must hold 32 bytes");
  }
  return key;
}

}  // namespace qkme::binding
