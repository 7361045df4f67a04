// NativeDeviceStream (src/device/pci/native-pci.ts): a character device that streams frames into a private ring.
#include "binding/pci_binding.h"
#include "binding/ring_options.h"
#include "pci/stream.h"

namespace qkme::binding {
namespace {

class Stream : public Napi::ObjectWrap<Stream> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "DeviceStream", {
        InstanceMethod<&Stream::Tick>("tick"), InstanceMethod<&Stream::Failure>("failure"), InstanceMethod<&Stream::Close>("close")});
  }

  explicit Stream(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Stream>(info) {
    const Napi::Env env = info.Env();
    Expect(env, info[0].IsObject() && info[0].As<Napi::Object>().Get("shared").IsObject(), "options of a device stream");
    const Napi::Object options = info[0].As<Napi::Object>(), shared = options.Get("shared").As<Napi::Object>();
    // Owned from here on, whatever fails.
    OwnedFd region(int(U32(env, shared.Get("region"), "region"))), frames(int(U32(env, shared.Get("frames"), "frames")));
    OwnedFd space(int(U32(env, shared.Get("space"), "space")));
    Guard(env, [&] {
      stream_ = std::make_unique<pci::DeviceStream>(
          pci::StreamOptions{.data_path = TextOption(options, "dataPath"), .event_path = TextOption(options, "eventPath"),
                             .report_path = TextOption(options, "reportPath"), .link = U32(env, options.Get("linkId"), "linkId")},
          std::move(region), std::move(frames), std::move(space));
    });
  }

 private:
  static constexpr size_t kNumbers = pci::kStreamNumbers + 2;

  pci::DeviceStream& Live(Napi::Env env) {
    Expect(env, stream_ != nullptr, "the device stream is open");
    return *stream_;
  }

  void Tick(const Napi::CallbackInfo& info) {
    pci::DeviceStream& stream = Live(info.Env());
    auto to = Typed<Napi::Float64Array>(info.Env(), info[0], napi_float64_array, kNumbers, "state has ten numbers");
    stream.Tick();
    for (uint32_t i = 0; i < pci::kStreamNumbers; ++i) to[i] = double(stream.number(pci::StreamNumber(i)));
    to[pci::kStreamNumbers] = stream.failure().empty() ? 0 : 1;
    to[pci::kStreamNumbers + 1] = stream.locked() ? 1 : 0;
  }

  Napi::Value Failure(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), Live(info.Env()).failure()); }
  void Close(const Napi::CallbackInfo&) { stream_.reset(); }

  std::unique_ptr<pci::DeviceStream> stream_;
};

}  // namespace

Napi::Function DefineStream(Napi::Env env) { return Stream::Define(env); }

}  // namespace qkme::binding
