// NativeVault (src/device/native.ts) over qkme::vault::Vault: argument by argument, nothing else.
#include "binding/napi_catching.h"

#include <memory>

#include "binding/addon.h"
#include "binding/args.h"
#include "binding/vault_keys.h"
#include "vault/vault.h"

namespace {

using qkme::binding::Args;
using qkme::binding::Guarded;
namespace keys = qkme::binding::keys;
using qkme::vault::KeyIdFields;
using qkme::vault::Members;
using qkme::vault::Require;
using qkme::vault::Vault;

constexpr size_t kMembersBufferBytes = 8192;

/// A vault and the buffers of its calls. Each JavaScript function holds one reference; functions need no `this`.
struct VaultBox {
  explicit VaultBox(const qkme::vault::VaultOptions& options) : vault(options) {}
  Vault vault;
  uint32_t references = 0;
  char ids[Vault::kKeysPerCallMax * qkme::vault::kUuidChars + 8];
  char key_members[kMembersBufferBytes];
  char container_members[kMembersBufferBytes];
};

Vault& VaultOf(const Args& a) { return static_cast<VaultBox*>(a.data())->vault; }

Members MembersOf(const Args& a, size_t key_members, size_t container_members) {
  VaultBox& box = *static_cast<VaultBox*>(a.data());
  return {a.OptionalText(key_members, box.key_members), a.OptionalText(container_members, box.container_members)};
}

/// Where a call tells from which block, from which place on and what else it took.
uint32_t* Taken(const Args& a, size_t argument, size_t numbers) {
  const auto taken = a.Words(argument);
  Require(taken.size() >= numbers, "`taken` has room for what is told there");
  return taken.data();
}

using Body = napi_value (*)(Vault& vault, const Args& a);

template <Body kBody>
napi_value Method(napi_env env, napi_callback_info info) {
  return Guarded(env, info, [](const Args& a) { return kBody(VaultOf(a), a); });
}

void Set(const Args& a, napi_value object, const char* name, napi_value value) {
  a.Ok(napi_set_named_property(a.env(), object, name, value));
}

napi_value Stats(Vault& v, const Args& a) {
  const auto stats = v.Stats();
  napi_value result = nullptr;
  a.Ok(napi_create_object(a.env(), &result));
  Set(a, result, "arenaBytes", a.Number(static_cast<double>(stats.arena_bytes)));
  Set(a, result, "cellsTotal", a.Number(stats.cells_total));
  Set(a, result, "cellsUsed", a.Number(stats.cells_used));
  Set(a, result, "cellsPinned", a.Number(stats.cells_pinned));
  Set(a, result, "keysUsed", a.Number(stats.keys_used));
  Set(a, result, "blocks", a.Number(stats.blocks));
  Set(a, result, "lanes", a.Number(stats.lanes));
  Set(a, result, "locked", a.Boolean(stats.locked));
  Set(a, result, "deterministic", a.Boolean(stats.deterministic));
  return result;
}

// --- sealed records and blocks

napi_value CreateSealer(Vault& v, const Args& a) { return a.Number(v.CreateSealer(a.U32(0), a.U32(1))); }

napi_value DropSealer(Vault& v, const Args& a) {
  v.DropSealer(a.U32(0));
  return a.Undefined();
}

napi_value SealRandom(Vault& v, const Args& a) {
  return a.Number(v.SealRandom(a.U32(0), a.Bytes(1), a.U32(2), a.Bytes(3)));
}

napi_value SealBytes(Vault& v, const Args& a) {
  return a.Number(v.SealBytes(a.U32(0), a.Bytes(1), a.Bytes(2), a.Bytes(3)));
}

napi_value VerifyRecord(Vault& v, const Args& a) { return a.Boolean(v.VerifyRecord(a.U32(0), a.Bytes(1))); }

napi_value CreateBlock(Vault& v, const Args& a) {
  return a.Number(v.CreateBlock(a.U53(0), a.U32(1), a.Words(2)));
}

napi_value LoadRecent(Vault& v, const Args& a) { return a.Number(v.LoadRecent(a.U32(0), a.Bytes(1), a.U32(2))); }

napi_value KeepRecent(Vault& v, const Args& a) {
  v.KeepRecent(a.U32(0), a.U32(1), a.Bytes(2));
  return a.Undefined();
}

napi_value SweepRecent(Vault& v, const Args& a) {
  v.SweepRecent();
  return a.Undefined();
}

napi_value LoadFrame(Vault& v, const Args& a) {
  v.LoadFrame(a.U32(0), a.U32(1), a.U32(2), a.Bytes(3));
  return a.Undefined();
}

napi_value FrameLoaded(Vault& v, const Args& a) { return a.Boolean(v.FrameLoaded(a.U32(0), a.U32(1))); }

napi_value PinFrame(Vault& v, const Args& a) {
  v.PinFrame(a.U32(0), a.U32(1));
  return a.Undefined();
}

napi_value UnpinFrame(Vault& v, const Args& a) {
  v.UnpinFrame(a.U32(0), a.U32(1));
  return a.Undefined();
}

napi_value DropBlock(Vault& v, const Args& a) {
  v.DropBlock(a.U32(0));
  return a.Undefined();
}

napi_value DeriveFromBlock(Vault& v, const Args& a) {
  char info[keys::kInfoBufferBytes];
  return a.Number(v.DeriveFromBlock(a.U32(0), a.U32(1), a.U32(2), a.Text(3, info)));
}

// --- confirmation, tags, pads

napi_value ConfirmTag(Vault& v, const Args& a) {
  uint8_t* out = nullptr;
  const napi_value result = a.NewBytes(qkme::kGfBytes, &out);
  v.ConfirmTag(a.U32(0), a.U32(1), a.Bytes(2), a.Has(3) ? a.Bytes(3) : std::span<uint8_t>(), out);
  return result;
}

napi_value VerifyConfirmTag(Vault& v, const Args& a) {
  return a.Boolean(v.VerifyConfirmTag(a.U32(0), a.U32(1), a.Bytes(2), a.Bytes(3)));
}

napi_value TakeHashKey(Vault& v, const Args& a) { return a.Number(v.TakeHashKey(a.U32(0), a.U32(1))); }

napi_value Tag(Vault& v, const Args& a) {
  v.Tag(a.U32(0), a.U32(1), a.U32(2), a.Bytes(3), a.Bytes(4));
  return a.Undefined();
}

napi_value VerifyTag(Vault& v, const Args& a) {
  return a.Boolean(v.VerifyTag(a.U32(0), a.U32(1), a.U32(2), a.Bytes(3), a.Bytes(4)));
}

// --- relay

napi_value LaneRun(Vault& v, const Args& a) { return a.Number(v.GetLane(a.U32(0)).RunBytes()); }

napi_value LaneSeal(Vault& v, const Args& a) {
  return a.Number(v.LaneSeal(a.U32(0), a.U32(1), a.Bytes(2), a.U32(3), a.Bytes(4), Taken(a, 5, Vault::kTakenPadNumbers)));
}

napi_value LaneXor(Vault& v, const Args& a) {
  v.LaneXor(a.U32(0), a.U32(1), a.U32(2), a.Bytes(3), Taken(a, 4, Vault::kTakenPadNumbers));
  return a.Undefined();
}

napi_value SealPads(Vault& v, const Args& a) {
  return a.Number(v.SealPads(a.U32(0), a.Bytes(1), a.Words(2), a.Bytes(3), a.Bytes(4), a.Bool(5)));
}

napi_value SealXor(Vault& v, const Args& a) {
  return a.Number(v.SealXor(a.U32(0), a.Bytes(1), a.Words(2), a.Words(3), a.U32(4), a.Bytes(5), a.Bool(6)));
}

napi_value SealHybrid(Vault& v, const Args& a) {
  return a.Number(v.SealHybrid(a.U32(0), a.Bytes(1), a.Words(2), a.Words(3), a.U32(4), a.U32(5), a.Bytes(6)));
}

// --- delivery

napi_value CreateLane(Vault& v, const Args& a) { return a.Number(v.CreateLane()); }

napi_value DropLane(Vault& v, const Args& a) {
  v.DropLane(a.U32(0));
  return a.Undefined();
}

napi_value LanePush(Vault& v, const Args& a) {
  v.LanePush(a.U32(0), a.U32(1), a.U32(2), a.U32(3), a.Bool(4));
  return a.Undefined();
}

napi_value LaneLeft(Vault& v, const Args& a) { return a.Number(static_cast<double>(v.GetLane(a.U32(0)).Left())); }

napi_value LaneCursor(Vault& v, const Args& a) {
  uint64_t block = 0;
  uint32_t offset = 0;
  v.GetLane(a.U32(0)).Cursor(&block, &offset);
  napi_value result = nullptr;
  a.Ok(napi_create_array_with_length(a.env(), 2, &result));
  a.Ok(napi_set_element(a.env(), result, 0, a.Number(static_cast<double>(block))));
  a.Ok(napi_set_element(a.env(), result, 1, a.Number(offset)));
  return result;
}

napi_value LaneTrim(Vault& v, const Args& a) { return a.Number(v.GetLane(a.U32(0)).Trim()); }

napi_value Cut(Vault& v, const Args& a) {
  return a.Int(v.Cut(a.U32(0), a.U32(1), a.U32(2), a.U32(3), MembersOf(a, 4, 5), a.Bytes(6), Taken(a, 7, Vault::kTakenNumbers)));
}

napi_value HoldKeys(Vault& v, const Args& a) {
  return a.Number(v.HoldKeys(a.U32(0), a.U32(1), a.U32(2), a.U32(3), a.Bytes(4), Taken(a, 5, Vault::kTakenNumbers)));
}

napi_value PadHeld(Vault& v, const Args& a) {
  v.PadHeld(a.U32(0), a.U32(1), a.U32(2), a.Bytes(3), Taken(a, 4, Vault::kTakenPadNumbers));
  return a.Undefined();
}

napi_value OpenKeyIds(Vault& v, const Args& a) {
  VaultBox& box = *static_cast<VaultBox*>(a.data());
  return a.Number(v.OpenKeyIds(a.Words(0), a.Text(1, box.ids), a.U32(2), a.Words(3)));
}

napi_value MakeKeyId(Vault& v, const Args& a) {
  char text[qkme::vault::kUuidChars];
  v.MakeKeyId(a.U32(0), KeyIdFields{static_cast<uint32_t>(a.U53(1)), a.U32(2), a.U32(3), a.U32(4)}, text);
  return a.String({text, sizeof text});
}

napi_value Serve(Vault& v, const Args& a) {
  VaultBox& box = *static_cast<VaultBox*>(a.data());
  return a.Int(v.Serve(a.U32(0), a.Text(1, box.ids), a.Words(2), a.Words(3), a.Words(4), MembersOf(a, 5, 6), a.Bytes(7)));
}

napi_value WipeBytes(Vault&, const Args& a) {
  const auto bytes = a.Bytes(0);
  qkme::vault::Wipe(bytes.data(), bytes.size());
  return a.Undefined();
}

napi_value Zeroize(Vault& v, const Args& a) {
  v.Zeroize();
  return a.Undefined();
}

struct MethodEntry {
  const char* name;
  napi_callback call;
};

constexpr MethodEntry kMethods[] = {
    {"stats", Method<Stats>},
    {"createMasterKeyFile", Method<keys::CreateMasterKeyFile>},
    {"openMasterKeyFile", Method<keys::OpenMasterKeyFile>},
    {"openMasterPassphraseFile", Method<keys::OpenMasterPassphraseFile>},
    {"newKey", Method<keys::NewKey>},
    {"takeKey", Method<keys::TakeKey>},
    {"deriveKey", Method<keys::DeriveKey>},
    {"wrapKey", Method<keys::WrapKey>},
    {"unwrapKey", Method<keys::UnwrapKey>},
    {"keyCheck", Method<keys::KeyCheck>},
    {"hmac", Method<keys::Hmac>},
    {"dropKey", Method<keys::DropKey>},
    {"createSealer", Method<CreateSealer>},
    {"dropSealer", Method<DropSealer>},
    {"sealRandom", Method<SealRandom>},
    {"sealBytes", Method<SealBytes>},
    {"verifyRecord", Method<VerifyRecord>},
    {"createBlock", Method<CreateBlock>},
    {"loadFrame", Method<LoadFrame>},
    {"loadRecent", Method<LoadRecent>},
    {"keepRecent", Method<KeepRecent>},
    {"sweepRecent", Method<SweepRecent>},
    {"frameLoaded", Method<FrameLoaded>},
    {"pinFrame", Method<PinFrame>},
    {"unpinFrame", Method<UnpinFrame>},
    {"dropBlock", Method<DropBlock>},
    {"deriveFromBlock", Method<DeriveFromBlock>},
    {"confirmTag", Method<ConfirmTag>},
    {"verifyConfirmTag", Method<VerifyConfirmTag>},
    {"takeHashKey", Method<TakeHashKey>},
    {"tag", Method<Tag>},
    {"verifyTag", Method<VerifyTag>},
    {"laneRun", Method<LaneRun>},
    {"laneSeal", Method<LaneSeal>},
    {"laneXor", Method<LaneXor>},
    {"sealPads", Method<SealPads>},
    {"sealXor", Method<SealXor>},
    {"sealHybrid", Method<SealHybrid>},
    {"createLane", Method<CreateLane>},
    {"dropLane", Method<DropLane>},
    {"lanePush", Method<LanePush>},
    {"laneLeft", Method<LaneLeft>},
    {"laneCursor", Method<LaneCursor>},
    {"laneTrim", Method<LaneTrim>},
    {"cut", Method<Cut>},
    {"holdKeys", Method<HoldKeys>},
    {"padHeld", Method<PadHeld>},
    {"openKeyIds", Method<OpenKeyIds>},
    {"makeKeyId", Method<MakeKeyId>},
    {"serve", Method<Serve>},
    {"wipe", Method<WipeBytes>},
    {"zeroize", Method<Zeroize>},
};

void ReleaseBox(napi_env, void* data, void*) {
  auto* const box = static_cast<VaultBox*>(data);
  if (--box->references == 0) delete box;
}

Napi::Value CreateVault(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  try {
    Require(info.Length() == 1 && info[0].IsObject(), "createVault takes one object of options");
    const Napi::Object options = info[0].As<Napi::Object>();
    Require(options.Get("arenaBytes").IsNumber() && options.Get("allowUnlockedMemory").IsBoolean(), "arenaBytes is a number, allowUnlockedMemory a boolean");
    const double arena_bytes = options.Get("arenaBytes").As<Napi::Number>().DoubleValue();
    Require(arena_bytes >= 16 * qkme::vault::Arena::kCellBytes && arena_bytes <= 4.0 * 1024 * 1024 * 1024, "arenaBytes is 64 KiB to 4 GiB");
    const Napi::Value seed = options.Get("seed");
    Require(seed.IsUndefined() || seed.IsTypedArray(), "seed is a Uint8Array");
    std::span<const uint8_t> seed_bytes;
    if (!seed.IsUndefined()) {
      const auto array = seed.As<Napi::Uint8Array>();
      seed_bytes = {array.Data(), array.ByteLength()};
      Require(!seed_bytes.empty(), "a seed has at least one byte");
    }
    auto box = std::make_unique<VaultBox>(qkme::vault::VaultOptions{
        static_cast<size_t>(arena_bytes), options.Get("allowUnlockedMemory").As<Napi::Boolean>().Value(), seed_bytes});
    const Napi::Object result = Napi::Object::New(env);
    VaultBox* const shared = box.release();
    for (const MethodEntry& method : kMethods) {
      napi_value function = nullptr;
      NAPI_THROW_IF_FAILED(env, napi_create_function(env, method.name, NAPI_AUTO_LENGTH, method.call, shared, &function), env.Undefined());
      NAPI_THROW_IF_FAILED(env, napi_add_finalizer(env, function, shared, ReleaseBox, nullptr, nullptr), env.Undefined());
      ++shared->references;
      result.Set(method.name, Napi::Value(env, function));
    }
    return result;
  } catch (const qkme::vault::VaultError& error) {
    qkme::binding::ThrowError(env, error.code(), error.what());
  } catch (const qkme::vault::InvariantError& error) {
    qkme::binding::ThrowError(env, nullptr, error.what());
  }
  return env.Undefined();
}

}  // namespace

void InitVault(Napi::Env env, Napi::Object exports) {
  exports.Set("createVault", Napi::Function::New(env, CreateVault, "createVault"));
}
