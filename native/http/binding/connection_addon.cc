// Which connection a request came on, as a number: uWebSockets.js does not tell JavaScript.
//
// Its response objects carry their connection as the aligned pointer of their first internal field: the same one in the filter that tells
// of opened and closed connections and in each request. Here that pointer is a name only; nothing is read through it. V8's own
// interface, because Node-API has no internal fields. src/http/known-connections.ts says what a name is good for, and for how long.
#include <node.h>

#include <cstdint>

namespace {

/// connectionOf(response): 0 for whatever is no response of the library, and for one that must not be touched any more.
void ConnectionOf(const v8::FunctionCallbackInfo<v8::Value>& args) {
  double name = 0;
  if (args.Length() > 0 && args[0]->IsObject()) {
    const v8::Local<v8::Object> response = args[0].As<v8::Object>();
    // Arrays of bytes, promises and Node's own objects have internal fields, too, but not exactly one.
    if (response->InternalFieldCount() == 1) name = static_cast<double>(reinterpret_cast<uintptr_t>(response->GetAlignedPointerFromInternalField(0)));
  }
  args.GetReturnValue().Set(name);
}

}  // namespace

NODE_MODULE_INIT(/* exports, module, context */) {
  (void)module;
  NODE_SET_METHOD(exports, "connectionOf", ConnectionOf);
  (void)context;
}
