// NativeRingProducer and NativeFrameSource (src/device/native.ts): the writing side, for software devices and tests.
#include "binding/ring_binding.h"

#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "binding/bell.h"
#include "binding/ring_options.h"
#include "frame_source.h"
#include "ring_producer.h"

namespace qkme::binding {
namespace {

constexpr size_t kStateNumbers = 8;
constexpr int kHandoverTimeoutMs = 3'000;

/// What may be wrong with generated frames, by order. The numbers are the contract with src/device/native.ts.
enum class Flaw : uint32_t { kNone, kWrongCrc, kTorn, kStuckByte, kStuckLine, kOtherBytes };

/// One stretch of frames of one key block; numbers in this order in a Float64Array.
struct Plan {
  uint64_t block, payload_block;
  uint32_t first, count, frames, frame_bytes, flags, qber_ppm;
  Flaw flaw;
  static constexpr size_t kNumbers = 9;
};

class Source : public Napi::ObjectWrap<Source> {
 public:
  static Napi::Function Define(Napi::Env env) { return DefineClass(env, "FrameSource", {InstanceMethod<&Source::Put>("put"), InstanceMethod<&Source::DropBelow>("dropBelow")}); }
  explicit Source(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Source>(info) {
    Guard(info.Env(), [&] {
      if (info[0].IsUndefined()) source = std::make_unique<FrameSource>(nullptr);
      else source = std::make_unique<FrameSource>(Typed<Napi::Uint8Array>(info.Env(), info[0], napi_uint8_array, FrameSource::kSeedBytes, "a seed has 32 bytes").Data());
    });
    info.This().As<Napi::Object>().TypeTag(&kTag);
  }
  static Source* From(Napi::Env env, const Napi::Value& value) {
    Expect(env, value.IsObject() && value.As<Napi::Object>().CheckTypeTag(&kTag), "a frame source");
    return Unwrap(value.As<Napi::Object>());
  }
  std::unique_ptr<FrameSource> source;

 private:
  static uint64_t Block(Napi::Env env, const Napi::Value& value) {
    Expect(env, value.IsNumber() && value.As<Napi::Number>().DoubleValue() >= 0, "a block number is not negative");
    return uint64_t(value.As<Napi::Number>().DoubleValue());
  }
  /// (block, bytes)
  void Put(const Napi::CallbackInfo& info) {
    auto bytes = Typed<Napi::Uint8Array>(info.Env(), info[1], napi_uint8_array, 0, "bytes of a block");
    source->Put(Block(info.Env(), info[0]), {bytes.Data(), bytes.ByteLength()});
  }
  void DropBelow(const Napi::CallbackInfo& info) { source->DropBelow(Block(info.Env(), info[0])); }

  static constexpr napi_type_tag kTag = {0x71'6b'6d'65'73'72'63'31, 0x9b1f'6c02'77aa'4e01};
};

class Producer : public Napi::ObjectWrap<Producer> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "RingProducer", {
        InstanceMethod<&Producer::Publish>("publish"), InstanceMethod<&Producer::PublishRaw>("publishRaw"),
        InstanceMethod<&Producer::Generate>("generate"), InstanceMethod<&Producer::State>("state"),
        InstanceMethod<&Producer::Skip>("skipSequence"), InstanceMethod<&Producer::Repeat>("repeatSequence"),
        InstanceMethod<&Producer::CountDrops>("countDrops"), InstanceMethod<&Producer::Witness>("witness"),
        InstanceMethod<&Producer::Start>("start"),
        InstanceMethod<&Producer::Sleep>("sleep"), InstanceMethod<&Producer::Close>("close")});
  }
  explicit Producer(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Producer>(info) {
    const Napi::Object options = info[0].As<Napi::Object>();
    Guard(info.Env(), [&] { Open(options); });
  }
  ~Producer() override { Release(); }

 private:
  void Open(const Napi::Object& options) {
    const std::string path = TextOption(options, "path");
    struct stat info;
    if (options.Get("shared").IsObject()) {
      TakeShared(options.Get("shared").As<Napi::Object>());
      region_ = Region::AttachFd(handover_.region.Take(), path);
    } else if (stat(path.c_str(), &info) == 0 && S_ISSOCK(info.st_mode)) {
      handover_ = ReceiveHandover(path, kHandoverTimeoutMs);
      region_ = Region::AttachFd(handover_.region.Take(), path);
    } else {
      region_ = Region::AttachPath(path);
      // A ring file has its bells beside it; a device's memory has none.
      if (stat((path + ".bell").c_str(), &info) == 0) handover_ = ReceiveHandover(path + ".bell", kHandoverTimeoutMs);
    }
    const RingView& view = region_->view();
    link_ = U32(options.Env(), options.Get("linkId"), "linkId");
    if (view.geometry.link != link_) {
      throw RingError("ring " + path + ": is the ring of link " + std::to_string(view.geometry.link) + ", not of link " + std::to_string(link_));
    }
    const auto places = ScanRing(view);
    if (!places) throw RingError("ring " + path + ": the turn words of its slots do not fit together; is another device writing, or the KME reading very fast? Try again");
    if (const auto key = MacKeyOption(options)) mac_ = std::make_unique<FrameMac>(key->data());
    const uint64_t epoch = std::max<uint64_t>(view.control()->epoch.load(std::memory_order_acquire), U32Option(options, "epochAfter", 0)) + 1;
    producer_ = std::make_unique<RingProducer>(view, places->write, epoch);
    Beat(SideState::kRun);
  }

  /// What the consumer's `share` gave: owned from here on.
  void TakeShared(const Napi::Object& shared) {
    const Napi::Env env = shared.Env();
    handover_.region = OwnedFd(int(U32(env, shared.Get("region"), "a descriptor")));
    handover_.frames = OwnedFd(int(U32(env, shared.Get("frames"), "a descriptor")));
    handover_.space = OwnedFd(int(U32(env, shared.Get("space"), "a descriptor")));
  }

  void Beat(SideState state) { producer_->Beat(state, uint32_t(getpid())); }

  RingProducer& Live(Napi::Env env) {
    Expect(env, producer_ != nullptr, "the ring is open");
    return *producer_;
  }

  void Finish() {
    if (producer_->FinishBatch() && handover_.frames) RingBell(handover_.frames.get());
  }

  /// Header (64 bytes; form, sequence, epoch and sums are filled in) and payload.
  Napi::Value Publish(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    RingProducer& producer = Live(env);
    const auto bytes = Typed<Napi::Uint8Array>(env, info[0], napi_uint8_array, sizeof(FrameHeader), "a frame header has 64 bytes");
    const auto payload = Typed<Napi::Uint8Array>(env, info[1], napi_uint8_array, 1, "a payload has 1 to 3968 bytes");
    const size_t room = producer.ring().geometry.Capacity() - (mac_ ? kMacBytes : 0);
    Expect(env, payload.ElementLength() <= std::min<size_t>(room, kFramePayloadMax), "a payload has 1 to 3968 bytes and fits the slot");
    Slot* slot = producer.Claim();
    if (slot == nullptr) return Napi::Boolean::New(env, false);
    FrameHeader header;
    std::memcpy(&header, bytes.Data(), sizeof header);
    header.link = link_;
    header.payload_bytes = uint32_t(payload.ElementLength());
    std::memcpy(slot->payload, payload.Data(), payload.ElementLength());
    producer.Complete(header, mac_.get());
    Finish();
    return Napi::Boolean::New(env, true);
  }

  /// Header and payload as they are: what a broken device writes. For tests.
  Napi::Value PublishRaw(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    RingProducer& producer = Live(env);
    const auto bytes = Typed<Napi::Uint8Array>(env, info[0], napi_uint8_array, 1, "a frame has bytes");
    Expect(env, bytes.ElementLength() <= producer.ring().geometry.stride - offsetof(Slot, header), "a frame fits its slot");
    Slot* slot = producer.Claim();
    if (slot == nullptr) return Napi::Boolean::New(env, false);
    std::memcpy(reinterpret_cast<uint8_t*>(slot) + offsetof(Slot, header), bytes.Data(), bytes.ElementLength());
    producer.Publish();
    Finish();
    return Napi::Boolean::New(env, true);
  }

  Plan ReadPlan(Napi::Env env, const Napi::Value& value) {
    const auto n = Typed<Napi::Float64Array>(env, value, napi_float64_array, Plan::kNumbers, "a plan has nine numbers");
    const Plan plan{uint64_t(n[0]), uint64_t(n[1]), uint32_t(n[2]), uint32_t(n[3]), uint32_t(n[4]), uint32_t(n[5]),
                    uint32_t(n[6]), uint32_t(n[7]), Flaw(uint32_t(n[8]))};
    const size_t room = std::min<size_t>(producer_->ring().geometry.Capacity() - (mac_ ? kMacBytes : 0), kFramePayloadMax);
    Expect(env, plan.frame_bytes >= 32 && plan.frame_bytes % 32 == 0 && plan.frame_bytes <= room, "frame bytes are a multiple of 32 that fits the slot");
    Expect(env, plan.frames >= 1 && plan.first + uint64_t{plan.count} <= plan.frames, "the stretch lies in its block");
    return plan;
  }

  /// (source, plan): makes the frames and publishes them; returns how many had room.
  Napi::Value Generate(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    RingProducer& producer = Live(env);
    FrameSource& source = *Source::From(env, info[0])->source;
    const Plan plan = ReadPlan(env, info[1]);
    timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    FrameHeader header{};
    header.link = link_;
    header.qber_ppm = plan.qber_ppm;
    std::memcpy(header.block_id, &link_, 4);
    std::memcpy(header.block_id + 8, &plan.block, 8);
    header.time_ns = uint64_t(now.tv_sec) * 1'000'000'000 + uint64_t(now.tv_nsec);
    header.payload_bytes = plan.frame_bytes;
    uint32_t made = 0;
    for (; made < plan.count; ++made) {
      Slot* slot = producer.Claim();
      if (slot == nullptr) break;
      const uint32_t frame = plan.first + made;
      const uint32_t domain = plan.flaw == Flaw::kOtherBytes ? 1 : 0;
      if (!source.Fill(plan.payload_block, domain, uint64_t{frame} * plan.frame_bytes, slot->payload, plan.frame_bytes)) {
        throw Napi::Error::New(env, "a payload cannot be made: the bytes of its block are too few, or OpenSSL failed");
      }
      header.offset = frame * (plan.frame_bytes / 32);
      header.flags = uint16_t(plan.flags | (frame + 1 == plan.frames ? kFrameLast : 0));
      Spoil(slot, plan);
      producer.Complete(header, mac_.get(), plan.flaw == Flaw::kWrongCrc ? 1 : 0, plan.flaw == Flaw::kTorn ? plan.frame_bytes / 2 : 0);
    }
    Finish();
    return Napi::Number::New(env, made);
  }

  static void Spoil(Slot* slot, const Plan& plan) {
    if (plan.flaw == Flaw::kStuckByte) std::memset(slot->payload, 0xA5, plan.frame_bytes);
    if (plan.flaw != Flaw::kStuckLine) return;
    for (uint32_t i = 5; i < plan.frame_bytes; i += 8) slot->payload[i] |= 2;
  }

  /// [durable sequence, next sequence, epoch, full, consumer state, age of its beat in ms, consumer gone, frames waiting], and beats.
  void State(const Napi::CallbackInfo& info) {
    RingProducer& producer = Live(info.Env());
    auto to = Typed<Napi::Float64Array>(info.Env(), info[0], napi_float64_array, kStateNumbers, "state has eight numbers");
    const uint32_t own = U32(info.Env(), info[1], "state of this side");
    Beat(SideState(own));
    Finish();
    const RingControl* control = producer.ring().control();
    const uint64_t beat = control->consumer_beat_ns.load(std::memory_order_relaxed), now = MonotonicNs();
    const uint32_t consumer = control->consumer_state.load(std::memory_order_relaxed);
    const bool gone = consumer == uint32_t(SideState::kRetired) || (handover_.connection && HungUp(handover_.connection.get())) || region_->Lost();
    const uint64_t tail = control->tail.load(std::memory_order_relaxed), head = producer.position();
    const double numbers[kStateNumbers] = {double(producer.Durable()), double(producer.next_sequence()), double(producer.epoch()),
                                           double(producer.Full()), double(consumer), double(now > beat ? (now - beat) / 1'000'000 : 0),
                                           double(gone), double(head >= tail ? std::min<uint64_t>(head - tail, producer.ring().geometry.nslots) : 0)};
    std::memcpy(to.Data(), numbers, sizeof numbers);
  }

  void Skip(const Napi::CallbackInfo& info) { Live(info.Env()).SkipSequence(U32(info.Env(), info[0], "a count")); }
  void Repeat(const Napi::CallbackInfo& info) { Live(info.Env()).RepeatSequence(U32(info.Env(), info[0], "a count")); }
  void CountDrops(const Napi::CallbackInfo& info) { Live(info.Env()).CountDrops(U32(info.Env(), info[0], "a count")); }
  void Witness(const Napi::CallbackInfo& info) {
    Live(info.Env()).SetWitness(U32(info.Env(), info[0], "an epoch"), U53(info.Env(), info[1], "a sequence"));
  }

  /// (function): called when a sleeping producer's ring has room again. Never without a bell (device memory).
  void Start(const Napi::CallbackInfo& info) {
    Live(info.Env());
    Expect(info.Env(), info[0].IsFunction() && !bell_, "start once, with a function");
    if (handover_.space) bell_ = Bell::Open(info.Env(), handover_.space.get(), info[0].As<Napi::Function>());
  }

  /// True: the bell will ring when there is room. False: there is room already, or no bell to wait for.
  Napi::Value Sleep(const Napi::CallbackInfo& info) {
    return Napi::Boolean::New(info.Env(), Live(info.Env()).TrySleep() && bell_ != nullptr);
  }

  void Close(const Napi::CallbackInfo&) { Release(); }
  void Release() {
    bell_.reset();
    if (producer_) Beat(SideState::kDrained);
    producer_.reset();
    region_.reset();
    handover_ = Handover();
  }

  std::unique_ptr<Region> region_;
  Handover handover_;
  std::unique_ptr<FrameMac> mac_;
  std::unique_ptr<RingProducer> producer_;
  OwnedBell bell_;
  uint32_t link_ = 0;
};

}  // namespace

Napi::Function DefineProducer(Napi::Env env) { return Producer::Define(env); }
Napi::Function DefineFrameSource(Napi::Env env) { return Source::Define(env); }

}  // namespace qkme::binding
