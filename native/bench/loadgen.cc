/// A TLS load generator for measurements, on a thread of its own, pinned to a core: `bench/load.ts` loads it.
#include <napi.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <thread>

#include "bench/drain.h"
#include "bench/wake.h"
#include "bench/slice.h"

namespace qkme::bench {
namespace {

/// A thread's niceness on Linux is its own.
constexpr int kBeforeOthers = -15;

std::string Text(const Napi::Object& options, const char* name) { return options.Get(name).ToString().Utf8Value(); }
double Number(const Napi::Object& options, const char* name) { return options.Get(name).ToNumber().DoubleValue(); }

class KeyIds : public Napi::ObjectWrap<KeyIds> {
 public:
  explicit KeyIds(const Napi::CallbackInfo& info) : Napi::ObjectWrap<KeyIds>(info) {}
  Napi::Value Size(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), static_cast<double>(queue->Size())); }
  std::shared_ptr<KeyIdQueue> queue = std::make_shared<KeyIdQueue>();
};

std::shared_ptr<KeyIdQueue> QueueOf(const Napi::Object& options, const char* name) {
  const Napi::Value value = options.Get(name);
  return value.IsObject() ? KeyIds::Unwrap(value.As<Napi::Object>())->queue : nullptr;
}

Plan PlanOf(Napi::Env env, const Napi::Object& options) {
  Plan plan;
  const std::string mode = Text(options, "mode");
  if (mode == "closed") plan.mode = Plan::Mode::kClosed;
  else if (mode == "open") plan.mode = Plan::Mode::kOpen;
  else if (mode == "connect") plan.mode = Plan::Mode::kConnect;
  else if (mode == "flood") plan.mode = Plan::Mode::kFlood;
  else throw Napi::TypeError::New(env, "mode is closed, open, connect or flood");
  plan.duration_ns = static_cast<int64_t>(Number(options, "durationMs") * 1e6);
  plan.rate_per_s = Number(options, "ratePerS");
  plan.requests_max = static_cast<uint64_t>(Number(options, "requestsMax"));
  plan.suffix = Text(options, "suffix");
  plan.take = QueueOf(options, "take");
  plan.collect = QueueOf(options, "collect");
  const Napi::Array requests = options.Get("requests").As<Napi::Array>();
  for (uint32_t i = 0; i < requests.Length(); ++i) plan.requests.push_back(requests.Get(i).ToString().Utf8Value());
  if (plan.mode == Plan::Mode::kOpen && !(plan.rate_per_s > 0)) throw Napi::TypeError::New(env, "ratePerS must be positive");
  return plan;
}

Napi::Object ResultOf(Napi::Env env, Result& result) {
  Napi::Object object = Napi::Object::New(env);
  auto set = [&](const char* name, double value) { object.Set(name, Napi::Number::New(env, value)); };
  set("sent", static_cast<double>(result.sent));
  set("answers", static_cast<double>(result.answers));
  set("closed", static_cast<double>(result.closed));
  set("bodyBytes", static_cast<double>(result.body_bytes));
  set("elapsedMs", static_cast<double>(result.elapsed_ns) / 1e6);
  object.Set("ranDry", result.ran_dry);
  auto& latencies = result.latencies_ns;
  std::ranges::sort(latencies);
  auto at = [&](double part) {
    return latencies.empty() ? 0.0 : static_cast<double>(latencies[static_cast<size_t>(part * static_cast<double>(latencies.size() - 1))]) / 1e3;
  };
  set("p50Us", at(0.5));
  set("p99Us", at(0.99));
  set("maxUs", at(1));
  Napi::Object statuses = Napi::Object::New(env);
  for (const auto& [status, count] : result.statuses) statuses.Set(std::to_string(status), Napi::Number::New(env, static_cast<double>(count)));
  object.Set("statuses", statuses);
  return object;
}

/// The thread goes before whatever shares its core: the measure is the server's, and not how busy its peer is. Without the right to it, it shares.
void PinTo(int core) {
  if (core < 0) return;
  setpriority(PRIO_PROCESS, 0, kBeforeOthers);
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

class LoadGenerator : public Napi::ObjectWrap<LoadGenerator> {
 public:
  explicit LoadGenerator(const Napi::CallbackInfo& info) : Napi::ObjectWrap<LoadGenerator>(info) {
    const Napi::Object options = info[0].As<Napi::Object>();
    core_ = static_cast<int>(Number(options, "core"));
    try {
      generator_ = std::make_shared<Generator>(
          MakeTarget(Text(options, "host"), static_cast<uint16_t>(Number(options, "port")), Text(options, "certificateFile"),
                     Text(options, "keyFile"), Text(options, "caFile")),
          static_cast<uint32_t>(Number(options, "connections")));
    } catch (const std::exception& error) {
      throw Napi::Error::New(info.Env(), error.what());
    }
  }

  /// Runs a slice on a thread of its own; one at a time. @returns a promise of the result.
  Napi::Value Run(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    if (generator_ == nullptr || *busy_) throw Napi::Error::New(env, "one slice at a time, and none after close");
    Plan plan = PlanOf(env, info[0].As<Napi::Object>());
    auto deferred = std::make_shared<Napi::Promise::Deferred>(env);
    auto done = Napi::ThreadSafeFunction::New(env, Napi::Function::New(env, [](const Napi::CallbackInfo&) {}), "slice", 0, 1);
    *busy_ = true;
    std::thread([generator = generator_, busy = busy_, core = core_, plan = std::move(plan), deferred, done]() mutable {
      PinTo(core);
      auto result = std::make_shared<Result>();
      auto failure = std::make_shared<std::string>();
      try {
        *result = generator->Run(plan);
      } catch (const std::exception& error) {
        *failure = error.what();
      }
      done.BlockingCall([=](Napi::Env env, Napi::Function) {
        *busy = false;
        if (failure->empty()) deferred->Resolve(ResultOf(env, *result));
        else deferred->Reject(Napi::Error::New(env, *failure).Value());
      });
      done.Release();
    }).detach();
    return deferred->Promise();
  }

  /// Closes the connections once the slice under way, if any, is over.
  void Close(const Napi::CallbackInfo&) { generator_ = nullptr; }

 private:
  std::shared_ptr<Generator> generator_;
  std::shared_ptr<bool> busy_ = std::make_shared<bool>(false);
  int core_ = -1;
};

/// drainPerSecond(payloadBytes, seal, durationMs)
Napi::Value Drained(const Napi::CallbackInfo& info) {
  const uint64_t duration_ns = static_cast<uint64_t>(info[2].ToNumber().DoubleValue() * 1e6);
  try {
    return Napi::Number::New(info.Env(), DrainPerSecond(info[0].ToNumber().Uint32Value(), info[1].ToBoolean(), duration_ns));
  } catch (const std::exception& error) {
    throw Napi::Error::New(info.Env(), error.what());
  }
}

/// wakeMedianUs(waiterCore, ringerCore, count, gapUs)
Napi::Value Woken(const Napi::CallbackInfo& info) {
  try {
    return Napi::Number::New(info.Env(), WakeMedianUs(info[0].ToNumber().Int32Value(), info[1].ToNumber().Int32Value(),
                                                      info[2].ToNumber().Uint32Value(), info[3].ToNumber().Uint32Value()));
  } catch (const std::exception& error) {
    throw Napi::Error::New(info.Env(), error.what());
  }
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  exports.Set("drainPerSecond", Napi::Function::New<Drained>(env));
  exports.Set("wakeMedianUs", Napi::Function::New<Woken>(env));
  exports.Set("KeyIds", KeyIds::DefineClass(env, "KeyIds", {KeyIds::InstanceMethod("size", &KeyIds::Size)}));
  exports.Set("LoadGenerator", LoadGenerator::DefineClass(env, "LoadGenerator", {
    LoadGenerator::InstanceMethod("run", &LoadGenerator::Run),
    LoadGenerator::InstanceMethod("close", &LoadGenerator::Close),
  }));
  return exports;
}

}  // namespace
}  // namespace qkme::bench

using qkme::bench::Init;
NODE_API_MODULE(loadgen, Init)
