// Privacy amplification for JavaScript.
#include "post/amplify.h"
#include "post/binding/convert.h"
#include "post/binding/post_addon.h"

namespace {

using qkme::post::AmplifyImpl;
using qkme::post::Require;
using qkme::post::binding::Bytes;
using qkme::post::binding::Guarded;
using qkme::post::binding::NewBytes;
using qkme::post::binding::Whole;

/// (input, inputBits, seed, outputBits, implementation)
Napi::Value Amplify(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const auto input = Bytes(info[0]), seed = Bytes(info[2]);
    const uint64_t input_bits = Whole(info[1], 2, qkme::post::kAmplifyBitsMax, "privacy amplification takes 2 to 2^28 bits");
    const uint64_t output_bits = Whole(info[3], 1, input_bits - 1, "privacy amplification gives at least one bit and fewer than it takes");
    const auto impl = static_cast<AmplifyImpl>(Whole(info[4], 0, qkme::post::kAmplifyImpls - 1, "a way to multiply is 0 to 2"));
    Require(qkme::post::AmplifySupported(impl), "this processor has the instructions of privacy amplification");
    Require(input.size() == (input_bits + 7) / 8, "the input has as many bytes as its bits need");
    Require(seed.size() == (input_bits + 6) / 8, "the seed has as many bytes as its bits need");
    auto out = NewBytes(info.Env(), (output_bits + 7) / 8);
    qkme::post::Amplify(input.data(), input_bits, seed.data(), out.Data(), output_bits, impl);
    return out;
  });
}

}  // namespace

void InitAmplify(Napi::Env env, Napi::Object exports) {
  exports.Set("amplify", Napi::Function::New(env, Amplify, "amplify"));
  Napi::Array ways = Napi::Array::New(env);
  for (int i = 0; i < qkme::post::kAmplifyImpls; ++i) {
    const auto impl = static_cast<AmplifyImpl>(i);
    ways.Set(static_cast<uint32_t>(i), qkme::post::AmplifySupported(impl) ? Napi::Value(Napi::String::New(env, qkme::post::AmplifyName(impl))) : env.Null());
  }
  exports.Set("amplifyWays", ways);
}
