#include "binding/addon.h"

#include <openssl/crypto.h>
#include <unistd.h>

#include "gf128.h"

namespace {

// Node's own exit waits for every thread, for one that hangs in the kernel for ever, and tears down under those that are in C++.
void ExitNow(const Napi::CallbackInfo& info) {
  const double code = info.Length() > 0 && info[0].IsNumber() ? info[0].As<Napi::Number>().DoubleValue() : -1;
  if (!(code >= 0 && code <= 255)) throw Napi::TypeError::New(info.Env(), "exitNow: the code is a number from 0 to 255");
  _exit(static_cast<int>(code));
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  Napi::Object features = Napi::Object::New(env);
  features.Set("gf128", qkme::GfName(qkme::GfBest()));
  features.Set("openssl", OpenSSL_version(OPENSSL_VERSION_STRING));
  exports.Set("features", features);
  exports.Set("exitNow", Napi::Function::New<ExitNow>(env, "exitNow"));
  InitVault(env, exports);
  InitRing(env, exports);
  InitPci(env, exports);
  InitSerial(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(qkme, Init)
