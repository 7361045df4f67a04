// Cascade for JavaScript: one object per party and block.
#include <algorithm>
#include <memory>

#include "post/binding/convert.h"
#include "post/binding/post_addon.h"
#include "post/cascade.h"

namespace {

using qkme::post::Require;
using qkme::post::binding::Bytes;
using qkme::post::binding::Guarded;
using qkme::post::binding::NewBytes;
using qkme::post::binding::Whole;

class CascadeObject : public Napi::ObjectWrap<CascadeObject> {
 public:
  static void Define(Napi::Env env, Napi::Object exports) {
    exports.Set("Cascade", DefineClass(env, "Cascade", {
      InstanceMethod<&CascadeObject::Message>("message"),
      InstanceMethod<&CascadeObject::Receive>("receive"),
      InstanceMethod<&CascadeObject::Correct>("correct"),
      InstanceMethod<&CascadeObject::Done>("done"),
      InstanceMethod<&CascadeObject::Stats>("stats"),
      InstanceMethod<&CascadeObject::Close>("close"),
    }));
  }

  /// (variant, lengthBits, frameBits, errorPpm, seed, bits)
  explicit CascadeObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<CascadeObject>(info) {
    Guarded(info.Env(), [&] {
      qkme::post::CascadeOptions options;
      options.variant = static_cast<qkme::post::CascadeVariant>(Whole(info[0], 0, qkme::post::kCascadeVariants - 1, "a variant of Cascade is 0 to 4"));
      options.length_bits = static_cast<uint32_t>(Whole(info[1], 2, qkme::post::kCascadeBitsMax, "Cascade takes 2 to 2^27 bits"));
      options.frame_bits = static_cast<uint32_t>(Whole(info[2], 64, 1u << 24, "a frame has 64 to 2^24 bits"));
      options.error_ppm = static_cast<uint32_t>(Whole(info[3], 1, 500'000, "an expected error rate is 1 to 500000 millionths"));
      const auto seed = Bytes(info[4]);
      Require(seed.size() == options.seed.size(), "a seed has 32 bytes");
      std::copy(seed.begin(), seed.end(), options.seed.begin());
      cascade_ = std::make_unique<qkme::post::Cascade>(options, Bytes(info[5]));
    });
  }

 private:
  qkme::post::Cascade& Get() {
    Require(cascade_ != nullptr, "Cascade was closed");
    return *cascade_;
  }

  /// The own message of this round, once; else undefined.
  Napi::Value Message(const Napi::CallbackInfo& info) {
    return Guarded(info.Env(), [&]() -> Napi::Value {
      if (Get().done() || said_ == Get().round()) return info.Env().Undefined();
      said_ = Get().round();
      const auto message = Get().Message();
      auto out = NewBytes(info.Env(), message.size());
      std::copy(message.begin(), message.end(), out.Data());
      return out;
    });
  }

  void Receive(const Napi::CallbackInfo& info) {
    Guarded(info.Env(), [&] { Get().Receive(Bytes(info[0])); });
  }

  void Correct(const Napi::CallbackInfo& info) {
    Guarded(info.Env(), [&] { Get().Correct(Bytes(info[0])); });
  }

  Napi::Value Done(const Napi::CallbackInfo& info) {
    return Guarded(info.Env(), [&]() -> Napi::Value { return Napi::Boolean::New(info.Env(), Get().done()); });
  }

  Napi::Value Stats(const Napi::CallbackInfo& info) {
    return Guarded(info.Env(), [&]() -> Napi::Value {
      const auto& cascade = Get();
      Napi::Object stats = Napi::Object::New(info.Env());
      stats.Set("done", cascade.done());
      stats.Set("rounds", cascade.round());
      stats.Set("frames", cascade.frames());
      stats.Set("frameBits", cascade.frame_bits());
      stats.Set("leakedBits", static_cast<double>(cascade.leaked_bits()));
      stats.Set("corrected", static_cast<double>(cascade.corrected()));
      stats.Set("givenUp", cascade.given_up());
      return stats;
    });
  }

  /// Wipes and frees at once, not when the garbage collector comes round: a block's books take some 5 bytes per bit.
  void Close(const Napi::CallbackInfo&) { cascade_.reset(); }

  std::unique_ptr<qkme::post::Cascade> cascade_;
  uint32_t said_ = UINT32_MAX;  ///< round of the last message that was given out
};

}  // namespace

void InitCascade(Napi::Env env, Napi::Object exports) { CascadeObject::Define(env, exports); }
