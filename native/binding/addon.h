// What the parts of the addon put into its exports.
#pragma once

#include "binding/napi_catching.h"

/// Adds `createVault` (vault_binding.cc).
void InitVault(Napi::Env env, Napi::Object exports);
/// Adds `openRingConsumer`, `openRingProducer` and `features.crc32c` (ring_binding.cc).
void InitRing(Napi::Env env, Napi::Object exports);
/// Adds `openDevicePort` and `openDeviceStream` (pci_binding.cc).
void InitPci(Napi::Env env, Napi::Object exports);
/// Adds `openSerialLine` (serial_binding.cc).
void InitSerial(Napi::Env env, Napi::Object exports);
