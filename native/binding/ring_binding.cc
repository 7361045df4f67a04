// openRingConsumer, openRingProducer, createFrameSource (src/device/native.ts).
#include "binding/ring_binding.h"

#include "binding/addon.h"
#include "crc32c.h"

namespace {

// The constructors live as long as the functions that call them.
Napi::Value Factory(const Napi::CallbackInfo& info, size_t argument) {
  Napi::FunctionReference* constructor = static_cast<Napi::FunctionReference*>(info.Data());
  return constructor->New({info[argument]});
}

void Export(Napi::Env env, Napi::Object exports, const char* name, Napi::Function constructor, bool after_vault) {
  auto* reference = new Napi::FunctionReference(Napi::Persistent(constructor));
  env.AddCleanupHook([reference] { delete reference; });
  exports.Set(name, after_vault ? Napi::Function::New(env, [](const Napi::CallbackInfo& i) { return Factory(i, 1); }, name, reference)
                                : Napi::Function::New(env, [](const Napi::CallbackInfo& i) { return Factory(i, 0); }, name, reference));
}

}  // namespace

void InitRing(Napi::Env env, Napi::Object exports) {
  exports.Get("features").As<Napi::Object>().Set("crc32c", Napi::String::New(env, qkme::Crc32cImplementation()));
  // The vault argument says that the arena got its locked memory first; sealers are found by handle.
  Export(env, exports, "openRingConsumer", qkme::binding::DefineConsumer(env), true);
  Export(env, exports, "openRingProducer", qkme::binding::DefineProducer(env), false);
  Export(env, exports, "createFrameSource", qkme::binding::DefineFrameSource(env), false);
}
