#include "bench/slice.h"

#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>

namespace qkme::bench {
namespace {

constexpr int kEvents = 256;
constexpr int64_t kSecondNs = 1'000'000'000;
using State = Connection::State;

int64_t NowNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * kSecondNs + now.tv_nsec;
}

}  // namespace

void KeyIdQueue::Collect(std::string_view container) {
  constexpr std::string_view kName = "\"key_ID\":\"";
  const std::lock_guard lock(mutex_);
  for (size_t at = container.find(kName); at != std::string_view::npos; at = container.find(kName, at)) {
    at += kName.size();
    if (container.size() < at + 36) return;
    std::copy_n(container.data() + at, 36, ids_.emplace_back().data());
  }
}

bool KeyIdQueue::Take(KeyIdText* id) {
  const std::lock_guard lock(mutex_);
  if (ids_.empty()) return false;
  *id = ids_.front();
  ids_.pop_front();
  return true;
}

size_t KeyIdQueue::Size() {
  const std::lock_guard lock(mutex_);
  return ids_.size();
}

Generator::Generator(Target target, uint32_t connections) : target_(std::move(target)), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
  if (epoll_ < 0) throw std::runtime_error("no epoll");
  for (uint32_t i = 0; i < connections; ++i) connections_.push_back(std::make_unique<Connection>(target_, epoll_, i));
}

Generator::~Generator() {
  connections_.clear();
  close(epoll_);
}

Result Generator::Run(const Plan& plan) {
  if (plan.requests.empty()) throw std::runtime_error("no requests to send");
  if (plan.mode != Plan::Mode::kConnect) OpenAll();
  return plan.mode == Plan::Mode::kFlood ? RunFlood(plan) : RunLoad(plan);
}

void Generator::OpenAll() {
  epoll_event events[kEvents];
  Answer answer;
  // Connections that the server ended since the last slice look idle until they are read.
  const int ended = epoll_wait(epoll_, events, kEvents, 0);
  for (int i = 0; i < ended; ++i) connections_[events[i].data.u32]->Advance(&answer);
  // A request that was given up would be counted in this slice.
  for (auto& c : connections_) if (c->state() != State::kIdle) c->Open();
  const int64_t until_ns = NowNs() + 10 * kSecondNs;
  for (;;) {
    const auto idle = std::ranges::count_if(connections_, [](auto& c) { return c->state() == State::kIdle; });
    if (static_cast<size_t>(idle) == connections_.size()) return;
    if (NowNs() > until_ns) throw std::runtime_error("the server does not accept the connections");
    for (auto& c : connections_) if (c->state() == State::kClosed) c->Open();
    const int n = epoll_wait(epoll_, events, kEvents, 100);
    for (int i = 0; i < n; ++i) connections_[events[i].data.u32]->Advance(&answer);
  }
}

bool Generator::NextRequest(const Plan& plan, std::string* request) {
  const std::string& text = plan.requests[turn_++ % plan.requests.size()];
  if (plan.take == nullptr) {
    *request = text;
    return true;
  }
  KeyIdText id;
  if (!plan.take->Take(&id)) return false;
  request->assign(text).append(id.data(), id.size()).append(plan.suffix);
  return true;
}

void Generator::Issue(const Plan& plan, Connection* connection, int64_t due_ns, Result* result) {
  if (!NextRequest(plan, &request_)) {
    result->ran_dry = true;
    return;
  }
  connection->Send(request_, due_ns);
  ++result->sent;
}

void Generator::Count(const Plan& plan, Connection* connection, const Answer& answer, Result* result) {
  ++result->answers;
  ++result->statuses[answer.status];
  result->body_bytes += answer.body.size();
  result->latencies_ns.push_back(NowNs() - connection->due_ns());
  if (plan.collect != nullptr && answer.status == 200) plan.collect->Collect(answer.body);
}

Result Generator::RunLoad(const Plan& plan) {
  const bool open = plan.mode == Plan::Mode::kOpen, fresh = plan.mode == Plan::Mode::kConnect;
  Result result;
  const int64_t start_ns = NowNs(), end_ns = start_ns + plan.duration_ns;
  const double gap_ns = open ? 1e9 / plan.rate_per_s : 0;
  uint64_t scheduled = 0;
  std::vector<int64_t> begun_ns(connections_.size(), start_ns);
  for (auto& c : connections_) {
    if (fresh) c->Open();
    else if (!open) Issue(plan, c.get(), start_ns, &result);
  }
  epoll_event events[kEvents];
  Answer answer;
  int64_t now = start_ns;
  while (now < end_ns && !result.ran_dry) {
    if (open) { // A request that finds no free connection is late, and its delay counts.
      for (auto& c : connections_) {
        const int64_t due_ns = start_ns + static_cast<int64_t>(static_cast<double>(scheduled) * gap_ns);
        if (due_ns > now) break;
        if (c->state() != State::kIdle) continue;
        Issue(plan, c.get(), due_ns, &result);
        ++scheduled;
      }
    }
    int64_t wait_ns = 10'000'000;
    if (open) wait_ns = std::clamp<int64_t>(start_ns + static_cast<int64_t>(static_cast<double>(scheduled) * gap_ns) - now, 0, wait_ns);
    const timespec timeout{0, static_cast<long>(wait_ns)};
    const int n = epoll_pwait2(epoll_, events, kEvents, &timeout, nullptr);
    for (int i = 0; i < n; ++i) {
      const uint32_t index = events[i].data.u32;
      Connection* c = connections_[index].get();
      const bool done = c->Advance(&answer);
      if (done) {
        Count(plan, c, answer, &result);
        if (fresh) c->Close();
        else if (!open) Issue(plan, c, NowNs(), &result);
      } else if (fresh && c->state() == State::kIdle) {
        Issue(plan, c, begun_ns[index], &result);
      }
      if (c->state() != State::kClosed) continue;
      if (!done) ++result.closed;
      begun_ns[index] = NowNs();
      c->Open();
    }
    now = NowNs();
  }
  if (fresh) for (auto& c : connections_) c->Close();
  else Finish(plan, &result);
  result.elapsed_ns = NowNs() - start_ns;
  return result;
}

/// Answers to what is under way belong to this slice; and whoever leaves a connection with an answer to come pays for a new handshake.
void Generator::Finish(const Plan& plan, Result* result) {
  const int64_t until_ns = NowNs() + kSecondNs;
  epoll_event events[kEvents];
  Answer answer;
  while (NowNs() < until_ns && std::ranges::any_of(connections_, [](auto& c) { return c->state() == State::kWaiting; })) {
    const int n = epoll_wait(epoll_, events, kEvents, 10);
    for (int i = 0; i < n; ++i) {
      Connection* c = connections_[events[i].data.u32].get();
      if (c->Advance(&answer)) Count(plan, c, answer, result);
      else if (c->state() == State::kClosed) ++result->closed;
    }
  }
}

Result Generator::RunFlood(const Plan& plan) {
  Result result;
  const int64_t start_ns = NowNs(), end_ns = start_ns + plan.duration_ns;
  std::string text;
  for (int i = 0; i < 64; ++i) text += plan.requests[0];
  const size_t one = plan.requests[0].size();
  uint64_t pushed_bytes = 0;
  size_t at = 0;
  Connection* c = connections_[0].get();
  while (NowNs() < end_ns && c->state() != State::kClosed) {
    if (pushed_bytes / one >= plan.requests_max) {
      usleep(1000);
      continue;
    }
    const int64_t taken = c->Push(std::string_view(text).substr(at));
    if (taken > 0) pushed_bytes += static_cast<uint64_t>(taken), at = (at + static_cast<size_t>(taken)) % text.size();
    else usleep(1000);
  }
  result.sent = pushed_bytes / one;
  result.closed = c->state() == State::kClosed ? 1 : 0;
  result.elapsed_ns = NowNs() - start_ns;
  c->Close();
  return result;
}

}  // namespace qkme::bench
