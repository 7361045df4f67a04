#include "post/binding/post_addon.h"

#include "gf128.h"

namespace {

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  Napi::Object features = Napi::Object::New(env);
  features.Set("gf128", qkme::GfName(qkme::GfBest()));
  exports.Set("features", features);
  InitAmplify(env, exports);
  InitCascade(env, exports);
  InitLdpc(env, exports);
  InitSift(env, exports);
  InitVerify(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(qkme_post, Init)
