// NativeRingConsumer (src/device/native.ts): a ring's reading side, its handover socket and its doorbell.
#include "binding/ring_binding.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "binding/bell.h"
#include "binding/pci_binding.h"
#include "binding/ring_options.h"
#include "ingest.h"
#include "vault/recent_frames.h"
#include "vault/sealer.h"

namespace qkme::binding {
namespace {

constexpr uint32_t kSlotsDefault = 4096;
constexpr size_t kStatusNumbers = 13, kHealthNumbers = 6;
constexpr const char* kCounterNames[kIngestCounters] = {
    "acceptedFrames", "acceptedBytes", "repeats", "refusedFrames", "refusedBytes", "badForm", "badCrc", "badMac", "badLink",
    "badEpoch", "testFrames", "abortedFrames", "gaps", "missingFrames", "sequenceBack", "restarts", "suspiciousFrames",
    "stuckFrames", "otherBytesFrames", "replayFrames", "deviceDropped", "incidentsLost",
    "discardedFrames"};

/// Seals with the vault's sealer; a handle stays the same during one drain.
struct VaultSink : RecordSink {
  bool Seal(const RecordHeader& header, const uint8_t* payload, size_t length, uint8_t* out) override {
    if (!vault::SealRecord(sealer, header, payload, length, out)) return false;
    if (recent != nullptr) recent->Keep(header, payload, length, now_ns);
    return true;
  }
  uint32_t sealer = 0;
  vault::RecentFrames* recent = nullptr;
  uint64_t now_ns = 0;
};

class Consumer : public Napi::ObjectWrap<Consumer> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "RingConsumer", {
        InstanceMethod<&Consumer::Drain>("drain"), InstanceMethod<&Consumer::Acknowledge>("acknowledge"),
        InstanceMethod<&Consumer::Remember>("remember"), InstanceMethod<&Consumer::Resume>("resume"),
        InstanceMethod<&Consumer::TakeIncidents>("takeIncidents"), InstanceMethod<&Consumer::Tick>("tick"),
        InstanceMethod<&Consumer::Counters>("counters"), InstanceMethod<&Consumer::Header>("header"),
        InstanceMethod<&Consumer::RecentHeaders>("recentHeaders"), InstanceMethod<&Consumer::Share>("share"),
        InstanceMethod<&Consumer::Start>("start"), InstanceMethod<&Consumer::Close>("close")});
  }

  explicit Consumer(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Consumer>(info), copy_(Ingest::kCopyBytes, true) {
    const Napi::Object options = info[0].As<Napi::Object>();
    Guard(info.Env(), [&] { Open(options); });
  }
  ~Consumer() override { Release(); }

 private:
  void Open(const Napi::Object& options) {
    const Napi::Env env = options.Env();
    const std::string path = TextOption(options, "path"), kind = TextOption(options, "kind");
    const RingGeometry wanted{.nslots = U32Option(options, "slots", kSlotsDefault), .stride = kStrideDefault,
                              .link = U32(env, options.Get("linkId"), "linkId")};
    port_ = PortOption(options);
    if (port_) region_ = port_->region();
    else if (kind == "file") region_ = Region::OpenOrCreateFile(path, wanted);
    else if (kind == "device") region_ = Region::AttachPath(path);
    else region_ = Region::CreateMemfd(wanted);
    const RingGeometry& geometry = region_->view().geometry;
    if (geometry.link != wanted.link) {
      throw RingError("ring " + path + ": is the ring of link " + std::to_string(geometry.link) + ", not of link " + std::to_string(wanted.link));
    }
    const std::optional<uint64_t> place = ScanReadPlace(region_->view());
    if (!place) throw RingError("ring " + path + ": the turn words of its slots are damaged; stop the device, remove the file, and start both again");
    const auto key = Typed<Napi::Uint8Array>(env, options.Get("fingerprintKey"), napi_uint8_array, Fingerprinter::kKeyBytes, "fingerprintKey has 32 bytes");
    const auto mac_key = MacKeyOption(options);
    ingest_ = std::make_unique<Ingest>(region_->view(), *place, IngestOptions{
        .link = wanted.link, .remembered_frames = U32Option(options, "rememberedFrames", 1u << 20), .fingerprint_key = key.Data(),
        .mac_key = mac_key ? mac_key->data() : nullptr, .copy = copy_.data()});
    frames_ = port_ && port_->bell_fd() >= 0 ? Duplicate(port_->bell_fd()) : MakeEventFd();
    space_ = MakeEventFd();
    private_ = kind == "private";
    if (kind != "device" && !private_) {
      server_ = std::make_unique<HandoverServer>(kind == "file" ? path + ".bell" : path, wanted.link, OwnedFd(region_->ShareFd()), frames_.get(), space_.get());
    }
    Beat(SideState::kRun);
  }

  /// Of a private ring: whether its producer says that its device is there.
  static bool Present(const RingControl* control) {
    return control->producer_state.load(std::memory_order_relaxed) != uint32_t(SideState::kAbsent);
  }

  static OwnedFd Duplicate(int fd) {
    OwnedFd copy(fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (!copy) throw RingError("no more file descriptors; raise the limit (ulimit -n)");
    return copy;
  }

  /// Age of the producer's beat in ms; UINT32_MAX if there never was one. A device's clock is its own, so of a device each
  /// change counts as a beat now.
  uint64_t BeatAgeMs(uint64_t beat) {
    const uint64_t now = MonotonicNs();
    if (beat == 0) return UINT32_MAX;
    if (!port_) return now > beat ? (now - beat) / 1'000'000 : 0;
    if (beat != beat_seen_) { beat_seen_ = beat; beat_changed_ns_ = now; }
    return (now - beat_changed_ns_) / 1'000'000;
  }

  void Beat(SideState state) {
    RingControl* control = region_->view().control();
    control->consumer_pid.store(uint32_t(getpid()), std::memory_order_relaxed);
    control->consumer_state.store(uint32_t(state), std::memory_order_relaxed);
    control->consumer_beat_ns.store(MonotonicNs(), std::memory_order_relaxed);
  }

  Ingest& Live(Napi::Env env) {
    Expect(env, ingest_ != nullptr, "the ring is open");
    if (region_->Lost()) ingest_->Fail(IngestFault::kRegionLost);
    return *ingest_;
  }

  Napi::Value Drain(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    Ingest& ingest = Live(env);
    sink_.sealer = U32(env, info[0], "sealer is a handle");
    const uint32_t key_slot = U32(env, info[1], "key slot is a number");
    Expect(env, vault::SealerExists(sink_.sealer), "the sealer lives");
    auto out = Typed<Napi::Uint8Array>(env, info[2], napi_uint8_array, kRecordStride, "out has room for a record");
    const uint32_t room = uint32_t(std::min<size_t>(out.ElementLength() / kRecordStride, Ingest::kFramesPerDrain));
    auto meta = Typed<Napi::Uint32Array>(env, info[3], napi_uint32_array, room * Ingest::kMetaNumbers, "meta has four numbers per record");
    auto status = Typed<Napi::Uint32Array>(env, info[4], napi_uint32_array, kStatusNumbers, "status has thirteen numbers");
    sink_.recent = vault::RecentOf(sink_.sealer);
    sink_.now_ns = MonotonicNs();
    const DrainOutcome done = ingest.Drain(sink_, key_slot, out.Data(), meta.Data(), room);
    if (done.wake_producer) RingBell(space_.get());
    if (done.wake_producer && port_) port_->RingDevice();
    if (region_->Lost()) ingest.Fail(IngestFault::kRegionLost);
    const uint32_t numbers[kStatusNumbers] = {done.records, done.repeats, done.refused, done.more, uint32_t(ingest.quarantine()),
                                              uint32_t(ingest.fault()), done.ticket, done.level, ingest.incidents(),
                                              uint32_t(ingest.counter(kIncidentsLost)), ingest.epoch(),
                                              uint32_t(ingest.drained_sequence()), uint32_t(ingest.drained_sequence() >> 32)};
    std::memcpy(status.Data(), numbers, sizeof numbers);
    return Napi::Number::New(env, done.records);
  }

  void Acknowledge(const Napi::CallbackInfo& info) {
    Live(info.Env()).Acknowledge(U32(info.Env(), info[0], "ticket is a number"));
  }

  void Remember(const Napi::CallbackInfo& info) {
    const auto bytes = Typed<Napi::Uint8Array>(info.Env(), info[0], napi_uint8_array, kRecordHeaderBytes, "a record header has 64 bytes");
    RecordHeader header;
    std::memcpy(&header, bytes.Data(), sizeof header);
    Live(info.Env()).Remember(header);
  }

  void Resume(const Napi::CallbackInfo& info) {
    if (Live(info.Env()).Resume()) RingBell(space_.get());
  }

  Napi::Value RecentHeaders(const Napi::CallbackInfo& info) {
    auto to = Typed<Napi::Uint8Array>(info.Env(), info[0], napi_uint8_array, sizeof(FrameHeader), "room for a header of 64 bytes");
    FrameHeader headers[Ingest::kRecentHeaders];
    const uint32_t room = uint32_t(std::min<size_t>(to.ElementLength() / sizeof(FrameHeader), Ingest::kRecentHeaders));
    const uint32_t count = Live(info.Env()).RecentHeaders(headers, room);
    std::memcpy(to.Data(), headers, count * sizeof(FrameHeader));
    return Napi::Number::New(info.Env(), count);
  }

  /// Descriptors of region, "frames" and "space" for a producer in this process, which owns them then.
  Napi::Value Share(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    Live(env);
    OwnedFd region, frames, space;
    Guard(env, [&] {
      region = OwnedFd(region_->ShareFd());
      frames = Duplicate(frames_.get());
      space = Duplicate(space_.get());
    });
    Napi::Object result = Napi::Object::New(env);
    result.Set("region", Napi::Number::New(env, region.Take()));
    result.Set("frames", Napi::Number::New(env, frames.Take()));
    result.Set("space", Napi::Number::New(env, space.Take()));
    return result;
  }

  Napi::Value TakeIncidents(const Napi::CallbackInfo& info) {
    auto to = Typed<Napi::Uint8Array>(info.Env(), info[0], napi_uint8_array, sizeof(Incident), "room for an incident of 40 bytes");
    Incident batch[Ingest::kIncidentsMax];
    const uint32_t room = uint32_t(std::min<size_t>(to.ElementLength() / sizeof(Incident), Ingest::kIncidentsMax));
    const uint32_t taken = Live(info.Env()).TakeIncidents(batch, room);
    std::memcpy(to.Data(), batch, taken * sizeof(Incident));
    return Napi::Number::New(info.Env(), taken);
  }

  /// Heartbeat out, the device's life in: [connected, producer state, age of its beat in ms, waiting, fault, pid].
  void Tick(const Napi::CallbackInfo& info) {
    Ingest& ingest = Live(info.Env());
    vault::RecentFrames::SweepAll(MonotonicNs());
    auto health = Typed<Napi::Uint32Array>(info.Env(), info[0], napi_uint32_array, kHealthNumbers, "health has six numbers");
    Beat(ingest.fault() == IngestFault::kNone && ingest.quarantine() == Quarantine::kNone ? SideState::kRun : SideState::kFault);
    const RingControl* control = region_->view().control();
    const uint64_t beat = control->producer_beat_ns.load(std::memory_order_relaxed), age_ms = BeatAgeMs(beat);
    const uint32_t numbers[kHealthNumbers] = {
        server_ ? server_->connected() : private_ ? Present(control) : beat != 0, control->producer_state.load(std::memory_order_relaxed),
        uint32_t(std::min<uint64_t>(age_ms, UINT32_MAX)), uint32_t(ingest.ring().Waiting()), uint32_t(ingest.fault()),
        server_ ? server_->peer_pid() : control->producer_pid.load(std::memory_order_relaxed)};
    std::memcpy(health.Data(), numbers, sizeof numbers);
  }

  Napi::Value Counters(const Napi::CallbackInfo& info) {
    const Ingest& ingest = Live(info.Env());
    Napi::Object result = Napi::Object::New(info.Env());
    for (uint32_t i = 0; i < kIngestCounters; ++i) result.Set(kCounterNames[i], Napi::Number::New(info.Env(), double(ingest.counter(i))));
    const RingControl* control = region_->view().control();
    result.Set("deviceDrops", Napi::Number::New(info.Env(), double(control->drops.load(std::memory_order_relaxed))));
    result.Set("highWater", Napi::Number::New(info.Env(), double(control->high_water.load(std::memory_order_relaxed))));
    result.Set("devicesRefused", Napi::Number::New(info.Env(), server_ ? server_->refused() : 0));
    return result;
  }

  Napi::Value Header(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    Ingest& ingest = Live(env);
    const RingView& view = region_->view();
    const RingControl* control = view.control();
    const FrameHeader& last = ingest.last_header();
    Napi::Object result = Napi::Object::New(env);
    const auto number = [&](const char* name, double value) { result.Set(name, Napi::Number::New(env, value)); };
    number("slots", view.geometry.nslots);
    number("stride", view.geometry.stride);
    number("link", view.geometry.link);
    number("sealed", region_->sealed());
    number("locked", region_->locked());
    number("position", double(ingest.ring().position()));
    number("epoch", double(control->epoch.load(std::memory_order_relaxed)));
    number("durableEpoch", control->durable_epoch.load(std::memory_order_relaxed));
    number("durableSequence", double(control->durable_seq.load(std::memory_order_relaxed)));
    number("witnessEpoch", control->witness_epoch.load(std::memory_order_relaxed));
    number("witnessSequence", double(control->witness_seq.load(std::memory_order_relaxed)));
    number("expectedSequence", double(ingest.expected_sequence()));
    number("lastQberPpm", last.qber_ppm);
    number("lastSequence", double(last.sequence));
    number("lastPayloadBytes", last.payload_bytes);
    number("lastTimeMs", double(last.time_ns / 1'000'000));
    return result;
  }

  void Start(const Napi::CallbackInfo& info) {
    Live(info.Env());
    Expect(info.Env(), info[0].IsFunction() && !bell_, "start once, with a function");
    bell_ = Bell::Open(info.Env(), frames_.get(), info[0].As<Napi::Function>());
  }

  void Close(const Napi::CallbackInfo&) { Release(); }

  void Release() {
    if (region_) vault::RecentFrames::ClearAll();  // Without its beat nothing would wipe what it kept; other rings' frames are opened again.
    bell_.reset();
    server_.reset();
    if (ingest_) Beat(SideState::kRetired);
    ingest_.reset();
    region_.reset();
    port_.reset();
    frames_.Reset();
    space_.Reset();
  }

  vault::LockedRegion copy_;
  std::shared_ptr<pci::DevicePort> port_;
  uint64_t beat_seen_ = 0, beat_changed_ns_ = 0;
  std::shared_ptr<Region> region_;
  std::unique_ptr<Ingest> ingest_;
  OwnedFd frames_, space_;
  std::unique_ptr<HandoverServer> server_;
  OwnedBell bell_;
  VaultSink sink_;
  bool private_ = false;
};

}  // namespace

Napi::Function DefineConsumer(Napi::Env env) { return Consumer::Define(env); }

}  // namespace qkme::binding
