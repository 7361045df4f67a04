// A character device that streams frames, read by a thread with blocking reads into locked memory, and published into a
// ring of this process. A second thread reports what is durable, if the device has a node for it.
//
// The device's own headers go into the ring as they came, so that its sequence, epoch, checksum and MAC are checked by the
// code that checks every ring. A ring that is full stops the reading: then the device's own rules hold.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "handover.h"
#include "pci/stream_format.h"
#include "region.h"
#include "ring_producer.h"
#include "vault/locked_memory.h"

namespace qkme::pci {

struct StreamOptions {
  std::string data_path;    ///< blocking reads
  std::string event_path;   ///< empty: reads wait for data by themselves
  std::string report_path;  ///< empty: the device is not told what is durable
  uint32_t link = 0;
};

enum StreamNumber : uint32_t { kStreamFrames, kStreamBytes, kStreamStates, kStreamLostBytes, kStreamBadRecords, kStreamReads, kStreamEvents, kStreamReports, kStreamNumbers };

class DeviceStream {
 public:
  /// Takes the ring's descriptors, also when it throws. @throws RingError.
  DeviceStream(const StreamOptions& options, OwnedFd region, OwnedFd frames, OwnedFd space);
  /// Ends both threads. One that the driver does not let out of its call is left behind with what it uses.
  ~DeviceStream();
  DeviceStream(const DeviceStream&) = delete;
  DeviceStream& operator=(const DeviceStream&) = delete;

  uint64_t number(StreamNumber which) const;
  bool locked() const;
  /// Why the reading ended for good; empty while it goes on.
  std::string failure() const;
  /// A sign of life for a device that sends no state records. From the owner's thread, twice a second.
  void Tick();

  static constexpr size_t kBufferBytes = 256 * 1024;
  static constexpr int kStopWaitMs = 2'000;

 private:
  void Stop();
  struct Core;
  static void Read(std::shared_ptr<Core> core);
  static void Report(std::shared_ptr<Core> core);

  std::shared_ptr<Core> core_;
  std::thread reader_, reporter_;
};

}  // namespace qkme::pci
