// The classes behind openRingConsumer and openRingProducer.
#pragma once

#include "binding/napi_catching.h"

namespace qkme::binding {

Napi::Function DefineConsumer(Napi::Env env);
Napi::Function DefineProducer(Napi::Env env);
Napi::Function DefineFrameSource(Napi::Env env);

}  // namespace qkme::binding
