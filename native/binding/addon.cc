#include "binding/addon.h"

#include <openssl/crypto.h>

#include "gf128.h"

namespace {

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  Napi::Object features = Napi::Object::New(env);
  features.Set("gf128", qkme::GfName(qkme::GfBest()));
  features.Set("openssl", OpenSSL_version(OPENSSL_VERSION_STRING));
  exports.Set("features", features);
  InitVault(env, exports);
  InitRing(env, exports);
  InitPci(env, exports);
  InitSerial(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(qkme, Init)
