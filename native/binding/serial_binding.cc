#include "binding/addon.h"
#include "binding/args.h"
#include "serial_line.h"

namespace {

// openSerialLine(path, baud): the descriptor of a raw line.
napi_value OpenSerialLine(napi_env env, napi_callback_info info) {
  return qkme::binding::Guarded(env, info, [](const qkme::binding::Args& args) {
    std::string error;
    const int fd = qkme::OpenSerialLine(args.Path(0), args.U32(1), &error);
    if (fd >= 0) return args.Int(fd);
    qkme::binding::ThrowError(args.env(), "DEVICE_FAULT", error.c_str());
    return static_cast<napi_value>(nullptr);
  });
}

}  // namespace

void InitSerial(Napi::Env env, Napi::Object exports) {
  napi_value function = nullptr;
  if (napi_create_function(env, "openSerialLine", NAPI_AUTO_LENGTH, OpenSerialLine, nullptr, &function) == napi_ok) exports.Set("openSerialLine", function);
}
