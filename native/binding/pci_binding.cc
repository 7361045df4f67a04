#include "binding/pci_binding.h"

#include "binding/addon.h"
#include "binding/ring_options.h"

namespace qkme::binding {
namespace {

constexpr napi_type_tag kPortTag = {0x71'6b'6d'65'70'6f'72'74, 0x2f8e'11d0'6a4b'9c35};

/// An offset or an address: an integer that a double holds exactly.
uint64_t Whole(Napi::Env env, const Napi::Value& value, const char* what) {
  Expect(env, value.IsNumber(), what);
  const double number = value.As<Napi::Number>().DoubleValue();
  Expect(env, number >= 0 && number <= 9007199254740991.0 && number == double(uint64_t(number)), what);
  return uint64_t(number);
}

uint64_t WholeOption(const Napi::Object& options, const char* name, uint64_t fallback) {
  const Napi::Value value = options.Get(name);
  return value.IsUndefined() ? fallback : Whole(options.Env(), value, name);
}

std::optional<pci::Place> PlaceOption(const Napi::Object& options, const char* name) {
  const Napi::Value value = options.Get(name);
  if (value.IsUndefined()) return std::nullopt;
  Expect(options.Env(), value.IsObject(), name);
  const Napi::Object place = value.As<Napi::Object>();
  return pci::Place{U32(options.Env(), place.Get("bar"), "bar"), Whole(options.Env(), place.Get("offset"), "offset")};
}

pci::PortOptions ReadOptions(const Napi::Object& options) {
  const Napi::Env env = options.Env();
  pci::PortOptions read;
  read.kind = TextOption(options, "kind");
  read.address = TextOption(options, "address");
  // Other places of the kernel's files: for tests.
  if (const std::string root = TextOption(options, "devicesFolder"); !root.empty()) read.roots.devices = root;
  if (const std::string root = TextOption(options, "nodesFolder"); !root.empty()) read.roots.nodes = root;
  const Napi::Value bar = options.Get("ringBar");
  read.dma = bar.IsUndefined();
  if (read.dma) {
    read.geometry = {.nslots = U32(env, options.Get("slots"), "slots"), .stride = kStrideDefault, .link = U32(env, options.Get("linkId"), "linkId")};
    read.iova = WholeOption(options, "iova", read.iova);
  } else {
    read.ring_bar = U32(env, bar, "ringBar");
    read.ring_at = WholeOption(options, "ringOffset", 0);
  }
  read.interrupt = !options.Get("interruptVector").IsNull();
  read.vector = read.interrupt ? U32Option(options, "interruptVector", 0) : 0;
  Expect(env, read.vector < 2048, "MSI-X has at most 2048 vectors");
  read.doorbell = PlaceOption(options, "doorbell");
  read.doorbell_value = U32Option(options, "doorbellValue", 0);
  read.interrupt_status = PlaceOption(options, "interruptStatus");
  read.interrupt_ack = PlaceOption(options, "interruptAck");
  return read;
}

class Port : public Napi::ObjectWrap<Port> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "DevicePort", {
        InstanceMethod<&Port::Info>("info"), InstanceMethod<&Port::Check>("check"), InstanceMethod<&Port::Read>("read"),
        InstanceMethod<&Port::Write>("write"), InstanceMethod<&Port::Close>("close")});
  }

  explicit Port(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Port>(info) {
    Expect(info.Env(), info[0].IsObject(), "options of a device port");
    Guard(info.Env(), [&] { port = pci::DevicePort::Open(ReadOptions(info[0].As<Napi::Object>())); });
    info.This().As<Napi::Object>().TypeTag(&kPortTag);
  }
  ~Port() override { Release(); }

  std::shared_ptr<pci::DevicePort> port;

 private:
  pci::DevicePort& Live(Napi::Env env) {
    Expect(env, port != nullptr, "the device port is open");
    return *port;
  }

  Napi::Value Info(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    const pci::DevicePort& live = Live(env);
    Napi::Object result = Napi::Object::New(env);
    return Guard(env, [&]() -> Napi::Value {
      result.Set("vendor", Napi::Number::New(env, double(live.function().Number("vendor"))));
      result.Set("device", Napi::Number::New(env, double(live.function().Number("device"))));
      result.Set("interrupt", Napi::String::New(env, live.interrupt_kind()));
      result.Set("ringAddress", Napi::Number::New(env, double(live.ring_address())));
      result.Set("ringBytes", Napi::Number::New(env, double(live.region()->view().geometry.RegionBytes())));
      result.Set("reportsBlockedDma", Napi::Boolean::New(env, live.reports_blocked_dma()));
      return result;
    });
  }

  Napi::Value Check(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    const pci::PortHealth health = Live(env).Check();
    Napi::Object result = Napi::Object::New(env);
    result.Set("gone", Napi::Boolean::New(env, health.gone));
    result.Set("releaseAsked", Napi::Boolean::New(env, health.release_asked));
    result.Set("deviceError", Napi::Boolean::New(env, health.device_error));
    result.Set("status", Napi::Number::New(env, health.status));
    result.Set("interrupts", Napi::Number::New(env, double(health.interrupts)));
    Napi::Array blocked = Napi::Array::New(env, health.faults.size());
    for (uint32_t i = 0; i < health.faults.size(); ++i) {
      const pci::IommuFault& fault = health.faults[i];
      Napi::Object each = Napi::Object::New(env);
      each.Set("address", Napi::BigInt::New(env, fault.address));
      each.Set("access", Napi::String::New(env, !fault.known_direction ? "access" : fault.write ? "write" : "read"));
      blocked.Set(i, each);
    }
    result.Set("blocked", blocked);
    result.Set("blockedMore", Napi::Number::New(env, double(health.more_faults)));
    return result;
  }

  /// (bar, offset, bytes 4 or 8): BigInt.
  Napi::Value Read(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    pci::DevicePort& live = Live(env);
    const uint32_t bar = U32(env, info[0], "bar"), bytes = U32(env, info[2], "bytes");
    const uint64_t at = Whole(env, info[1], "offset");
    Expect(env, bytes == 4 || bytes == 8, "a register has 4 or 8 bytes");
    return Guard(env, [&] { return Napi::BigInt::New(env, bytes == 8 ? live.registers(bar).Read64(at) : uint64_t{live.registers(bar).Read32(at)}); });
  }

  /// (bar, offset, bytes 4 or 8, value as BigInt)
  void Write(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    pci::DevicePort& live = Live(env);
    const uint32_t bar = U32(env, info[0], "bar"), bytes = U32(env, info[2], "bytes");
    const uint64_t at = Whole(env, info[1], "offset");
    bool lossless = false;
    const uint64_t value = info[3].IsBigInt() ? info[3].As<Napi::BigInt>().Uint64Value(&lossless) : 0;
    Expect(env, lossless && (bytes == 8 || (bytes == 4 && value <= UINT32_MAX)), "a register has 4 or 8 bytes and its value fits");
    Guard(env, [&] {
      if (bytes == 8) live.registers(bar).Write64(at, value);
      else live.registers(bar).Write32(at, uint32_t(value));
    });
  }

  void Close(const Napi::CallbackInfo&) { Release(); }

  // A consumer may still hold the port: the device is made quiet now, its memory goes with the last holder.
  void Release() {
    if (port) port->Quiesce();
    port.reset();
  }
};

}  // namespace

Napi::Function DefinePort(Napi::Env env) { return Port::Define(env); }

std::shared_ptr<pci::DevicePort> PortOption(const Napi::Object& options) {
  const Napi::Value value = options.Get("port");
  if (value.IsUndefined()) return nullptr;
  Expect(options.Env(), value.IsObject() && value.As<Napi::Object>().CheckTypeTag(&kPortTag), "port is a device port");
  const std::shared_ptr<pci::DevicePort> port = Port::Unwrap(value.As<Napi::Object>())->port;
  Expect(options.Env(), port != nullptr, "the device port is open");
  return port;
}

}  // namespace qkme::binding

namespace {

void Export(Napi::Env env, Napi::Object exports, const char* name, Napi::Function constructor) {
  auto* reference = new Napi::FunctionReference(Napi::Persistent(constructor));
  env.AddCleanupHook([reference] { delete reference; });
  exports.Set(name, Napi::Function::New(env, [](const Napi::CallbackInfo& info) -> Napi::Value {
    return static_cast<Napi::FunctionReference*>(info.Data())->New({info[0]});
  }, name, reference));
}

}  // namespace

void InitPci(Napi::Env env, Napi::Object exports) {
  Export(env, exports, "openDevicePort", qkme::binding::DefinePort(env));
  Export(env, exports, "openDeviceStream", qkme::binding::DefineStream(env));
}
