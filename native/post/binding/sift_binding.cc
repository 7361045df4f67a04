// Sifting in planes, for JavaScript.
#include "post/binding/convert.h"
#include "post/binding/post_addon.h"
#include "post/sift.h"

namespace {

using qkme::post::PackedBytes;
using qkme::post::Require;
using qkme::post::binding::Bytes;
using qkme::post::binding::Guarded;
using qkme::post::binding::NewBytes;
using qkme::post::binding::Whole;

constexpr uint64_t kBitsMax = 1ull << 32;

Napi::Value TakePlane(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const auto records = Bytes(info[0]);
    const auto shift = static_cast<unsigned>(Whole(info[1], 0, 7, "a plane is bit 0 to 7 of a record"));
    auto out = NewBytes(info.Env(), PackedBytes(records.size()));
    qkme::post::TakePlane(records, shift, {out.Data(), out.ByteLength()});
    return out;
  });
}

Napi::Value SelectBits(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const auto count = Whole(info[2], 0, kBitsMax, "a plane has at most 2^32 bits");
    const auto at = Whole(info[4], 0, kBitsMax, "bits are appended within their buffer");
    return Napi::Number::New(info.Env(), static_cast<double>(qkme::post::SelectBits(Bytes(info[0]), Bytes(info[1]), count, Bytes(info[3]), at)));
  });
}

Napi::Value CountBoth(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const auto count = Whole(info[2], 0, kBitsMax, "a plane has at most 2^32 bits");
    return Napi::Number::New(info.Env(), static_cast<double>(qkme::post::CountBoth(Bytes(info[0]), Bytes(info[1]), count)));
  });
}

Napi::Value CombinePlanes(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const auto rule = static_cast<qkme::post::PlaneRule>(Whole(info[0], 0, qkme::post::kPlaneRules - 1, "a rule of planes is 0 to 3"));
    const auto count = Whole(info[3], 0, kBitsMax, "a plane has at most 2^32 bits");
    auto out = NewBytes(info.Env(), PackedBytes(count));
    qkme::post::Combine(rule, Bytes(info[1]), Bytes(info[2]), count, {out.Data(), out.ByteLength()});
    return out;
  });
}

}  // namespace

void InitSift(Napi::Env env, Napi::Object exports) {
  exports.Set("takePlane", Napi::Function::New(env, TakePlane, "takePlane"));
  exports.Set("selectBits", Napi::Function::New(env, SelectBits, "selectBits"));
  exports.Set("combinePlanes", Napi::Function::New(env, CombinePlanes, "combinePlanes"));
  exports.Set("countBoth", Napi::Function::New(env, CountBoth, "countBoth"));
}
