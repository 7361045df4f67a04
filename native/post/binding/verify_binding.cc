// PolyHash (verification of corrected bits, authentication of transcripts) and shuffling, for JavaScript.
#include <algorithm>
#include <cstring>
#include <memory>

#include "gf128.h"
#include "post/binding/convert.h"
#include "post/binding/post_addon.h"
#include "post/shuffle.h"

namespace {

using qkme::post::Require;
using qkme::post::binding::Bytes;
using qkme::post::binding::Guarded;
using qkme::post::binding::NewBytes;
using qkme::post::binding::Whole;

class PolyHashObject : public Napi::ObjectWrap<PolyHashObject> {
 public:
  static void Define(Napi::Env env, Napi::Object exports) {
    exports.Set("PolyHash", DefineClass(env, "PolyHash", {
      InstanceMethod<&PolyHashObject::Update>("update"),
      InstanceMethod<&PolyHashObject::Final>("final"),
    }));
  }

  explicit PolyHashObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<PolyHashObject>(info) {
    Guarded(info.Env(), [&] {
      const auto key = Bytes(info[0]);
      Require(key.size() == qkme::kGfBytes, "a hash key has 16 bytes");
      hash_ = std::make_unique<qkme::PolyHash>(key.data());
    });
  }

 private:
  void Update(const Napi::CallbackInfo& info) {
    Guarded(info.Env(), [&] {
      Require(hash_ != nullptr, "a hash takes no data after its end");
      const auto data = Bytes(info[0]);
      hash_->Update(data.data(), data.size());
    });
  }

  Napi::Value Final(const Napi::CallbackInfo& info) {
    return Guarded(info.Env(), [&]() -> Napi::Value {
      Require(hash_ != nullptr, "a hash ends once");
      auto out = NewBytes(info.Env(), qkme::kGfBytes);
      hash_->Final(out.Data());
      hash_.reset();
      return out;
    });
  }

  std::unique_ptr<qkme::PolyHash> hash_;
};

Napi::Value ShuffleBits(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const auto seed = Bytes(info[0]), in = Bytes(info[1]);
    Require(seed.size() == qkme::post::kSeedBytes, "a seed has 32 bytes");
    const auto length = static_cast<uint32_t>(Whole(info[2], 0, 1ull << 30, "a block has at most 2^30 bits"));
    Require(info[3].IsBoolean(), "the direction of a shuffle is a boolean");
    qkme::post::Seed key;
    std::copy(seed.begin(), seed.end(), key.begin());
    auto out = NewBytes(info.Env(), in.size());
    qkme::post::ShuffleBits(key, in, length, info[3].As<Napi::Boolean>().Value(), {out.Data(), out.ByteLength()});
    return out;
  });
}

}  // namespace

void InitVerify(Napi::Env env, Napi::Object exports) {
  PolyHashObject::Define(env, exports);
  exports.Set("shuffleBits", Napi::Function::New(env, ShuffleBits, "shuffleBits"));
}
