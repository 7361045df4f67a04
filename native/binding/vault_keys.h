// The methods of NativeVault about keys: argument by argument, nothing else (vault_binding.cc).
#pragma once

#include "binding/args.h"
#include "vault/vault.h"

namespace qkme::binding::keys {

using vault::Vault;

/// What names the purpose of a derived key.
constexpr size_t kInfoBufferBytes = 256 + 8;

inline napi_value CreateMasterKeyFile(Vault& v, const Args& a) {
  v.CreateMasterKeyFile(a.Path(0));
  return a.Undefined();
}

inline napi_value OpenMasterKeyFile(Vault& v, const Args& a) { return a.Number(v.OpenMasterKeyFile(a.Path(0))); }

inline napi_value OpenMasterPassphraseFile(Vault& v, const Args& a) {
  return a.Number(v.OpenMasterPassphraseFile(a.Path(0), a.Bytes(1), a.U32(2), a.U32(3), a.U32(4)));
}

inline napi_value NewKey(Vault& v, const Args& a) { return a.Number(v.NewKey()); }

inline napi_value TakeKey(Vault& v, const Args& a) { return a.Number(v.TakeKey(a.Bytes(0))); }

inline napi_value DeriveKey(Vault& v, const Args& a) {
  char info[kInfoBufferBytes];
  return a.Number(v.DeriveKey(a.U32(0), a.Bytes(1), a.Text(2, info)));
}

inline napi_value WrapKey(Vault& v, const Args& a) {
  uint8_t* out = nullptr;
  const napi_value result = a.NewBytes(Vault::kWrappedBytes, &out);
  v.WrapKey(a.U32(0), a.U32(1), a.Bytes(2), out);
  return result;
}

inline napi_value UnwrapKey(Vault& v, const Args& a) { return a.Number(v.UnwrapKey(a.U32(0), a.Bytes(1), a.Bytes(2))); }

inline napi_value KeyCheck(Vault& v, const Args& a) {
  uint8_t* out = nullptr;
  const napi_value result = a.NewBytes(Vault::kCheckBytes, &out);
  v.KeyCheck(a.U32(0), out);
  return result;
}

inline napi_value Hmac(Vault& v, const Args& a) {
  uint8_t* out = nullptr;
  const napi_value result = a.NewBytes(32, &out);
  v.Hmac(a.U32(0), a.Bytes(1), out);
  return result;
}

inline napi_value DropKey(Vault& v, const Args& a) {
  v.DropKey(a.U32(0));
  return a.Undefined();
}

}  // namespace qkme::binding::keys
