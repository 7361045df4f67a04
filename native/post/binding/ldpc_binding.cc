// Reconciliation by LDPC codes for JavaScript: one object per party and block.
#include <algorithm>
#include <memory>

#include "post/binding/convert.h"
#include "post/binding/post_addon.h"
#include "post/ldpc_party.h"

namespace {

using qkme::post::LdpcAlice;
using qkme::post::LdpcBob;
using qkme::post::LdpcImpl;
using qkme::post::LdpcPlan;
using qkme::post::Require;
using qkme::post::binding::Bytes;
using qkme::post::binding::Guarded;
using qkme::post::binding::NewBytes;
using qkme::post::binding::Whole;

uint32_t LengthOf(const Napi::Value& value) {
  return static_cast<uint32_t>(Whole(value, qkme::post::kLdpcBlockBitsMin, qkme::post::kLdpcBlockBitsMax, "LDPC takes 2^18 to 2^27 bits"));
}

/// (lengthBits, errorPpm, blind)
LdpcPlan PlanOf(const Napi::CallbackInfo& info) {
  const uint32_t length = LengthOf(info[0]);
  const auto error = static_cast<uint32_t>(Whole(info[1], 1, 499'999, "an expected error rate is 1 to 499999 millionths"));
  Require(info[2].IsBoolean(), "whether to go blind is a boolean");
  return qkme::post::MakeLdpcPlan(length, error, info[2].As<Napi::Boolean>().Value());
}

Napi::Value BytesOf(Napi::Env env, const std::vector<uint8_t>& message) {
  if (message.empty()) return env.Undefined();
  auto out = NewBytes(env, message.size());
  std::copy(message.begin(), message.end(), out.Data());
  return out;
}

/// What both parties have in common; `Own` is the derived class.
template <typename Own, typename Party>
class PartyObject : public Napi::ObjectWrap<Own> {
 public:
  using Napi::ObjectWrap<Own>::ObjectWrap;

 protected:
  Napi::Value Message(const Napi::CallbackInfo& info) {
    return Guarded(info.Env(), [&] { return BytesOf(info.Env(), Get().Message()); });
  }
  void Receive(const Napi::CallbackInfo& info) {
    Guarded(info.Env(), [&] { Get().Receive(Bytes(info[0])); });
  }
  /// Wipes and frees at once, not when the garbage collector comes round.
  void Close() { party_.reset(); }

  Party& Get() {
    Require(party_ != nullptr, "LDPC was closed");
    return *party_;
  }
  Napi::Object CommonStats(Napi::Env env) {
    Napi::Object stats = Napi::Object::New(env);
    stats.Set("done", Get().done());
    stats.Set("rounds", Get().rounds());
    stats.Set("leakedBits", static_cast<double>(Get().leaked_bits()));
    return stats;
  }
  std::unique_ptr<Party> party_;
};

class AliceObject : public PartyObject<AliceObject, LdpcAlice> {
 public:
  static void Define(Napi::Env env, Napi::Object exports) {
    exports.Set("LdpcAlice", DefineClass(env, "LdpcAlice", {
      InstanceMethod<&AliceObject::OnMessage>("message"),
      InstanceMethod<&AliceObject::OnReceive>("receive"),
      InstanceMethod<&AliceObject::Stats>("stats"),
      InstanceMethod<&AliceObject::OnClose>("close"),
    }));
  }
  /// (lengthBits, errorPpm, blind, bits, mask)
  explicit AliceObject(const Napi::CallbackInfo& info) : PartyObject(info) {
    Guarded(info.Env(), [&] { party_ = std::make_unique<LdpcAlice>(PlanOf(info), Bytes(info[3]), Bytes(info[4])); });
  }

 private:
  // The wrapper takes members of the class itself only.
  Napi::Value OnMessage(const Napi::CallbackInfo& info) { return Message(info); }
  void OnReceive(const Napi::CallbackInfo& info) { Receive(info); }
  void OnClose(const Napi::CallbackInfo&) { Close(); }
  Napi::Value Stats(const Napi::CallbackInfo& info) {
    return Guarded(info.Env(), [&]() -> Napi::Value { return CommonStats(info.Env()); });
  }
};

class BobObject : public PartyObject<BobObject, LdpcBob> {
 public:
  static void Define(Napi::Env env, Napi::Object exports) {
    exports.Set("LdpcBob", DefineClass(env, "LdpcBob", {
      InstanceMethod<&BobObject::OnMessage>("message"),
      InstanceMethod<&BobObject::OnReceive>("receive"),
      InstanceMethod<&BobObject::Correct>("correct"),
      InstanceMethod<&BobObject::Stats>("stats"),
      InstanceMethod<&BobObject::OnClose>("close"),
    }));
  }
  /// (lengthBits, bits, way)
  explicit BobObject(const Napi::CallbackInfo& info) : PartyObject(info) {
    Guarded(info.Env(), [&] {
      const auto way = static_cast<LdpcImpl>(Whole(info[2], 0, qkme::post::kLdpcImpls - 1, "a way to decode is 0 to 2"));
      party_ = std::make_unique<LdpcBob>(LengthOf(info[0]), Bytes(info[1]), way);
    });
  }

 private:
  // The wrapper takes members of the class itself only.
  Napi::Value OnMessage(const Napi::CallbackInfo& info) { return Message(info); }
  void OnReceive(const Napi::CallbackInfo& info) { Receive(info); }
  void OnClose(const Napi::CallbackInfo&) { Close(); }
  void Correct(const Napi::CallbackInfo& info) {
    Guarded(info.Env(), [&] { Get().Correct(Bytes(info[0])); });
  }
  Napi::Value Stats(const Napi::CallbackInfo& info) {
    return Guarded(info.Env(), [&]() -> Napi::Value {
      Napi::Object stats = CommonStats(info.Env());
      stats.Set("frames", Get().frames());
      stats.Set("failed", Get().failed());
      stats.Set("iterations", static_cast<double>(Get().iterations()));
      return stats;
    });
  }
};

Napi::Value Plan(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const LdpcPlan made = PlanOf(info);
    Napi::Object plan = Napi::Object::New(info.Env());
    plan.Set("rows", made.rows);
    plan.Set("frames", made.frames);
    plan.Set("frameBits", made.FrameBits());
    plan.Set("punctured", made.punctured);
    plan.Set("maskBytes", static_cast<double>(made.MaskBytes()));
    plan.Set("leakedBits", static_cast<double>(made.SyndromeBits() - uint64_t{made.frames} * made.punctured));
    return plan;
  });
}

Napi::Value LeakedBits(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    return Napi::Number::New(info.Env(), static_cast<double>(qkme::post::LdpcLeakedBits(Bytes(info[0]))));
  });
}

}  // namespace

void InitLdpc(Napi::Env env, Napi::Object exports) {
  AliceObject::Define(env, exports);
  BobObject::Define(env, exports);
  exports.Set("ldpcPlan", Napi::Function::New(env, Plan, "ldpcPlan"));
  exports.Set("ldpcLeakedBits", Napi::Function::New(env, LeakedBits, "ldpcLeakedBits"));
  Napi::Array ways = Napi::Array::New(env);
  for (int i = 0; i < qkme::post::kLdpcImpls; ++i) {
    const auto impl = static_cast<LdpcImpl>(i);
    ways.Set(static_cast<uint32_t>(i), qkme::post::LdpcSupported(impl) ? Napi::Value(Napi::String::New(env, qkme::post::LdpcName(impl))) : env.Null());
  }
  exports.Set("ldpcWays", ways);
}
