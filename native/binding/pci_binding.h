// openDevicePort and openDeviceStream (src/device/pci/native-pci.ts): devices on PCI Express.
#pragma once

#include "binding/napi_catching.h"

#include <memory>

#include "pci/port.h"

namespace qkme::binding {

Napi::Function DefinePort(Napi::Env env);
Napi::Function DefineStream(Napi::Env env);
/// The port at option `port`, or null if there is none.
std::shared_ptr<pci::DevicePort> PortOption(const Napi::Object& options);

}  // namespace qkme::binding
