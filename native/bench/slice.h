#pragma once
#include "bench/connection.h"

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace qkme::bench {

using KeyIdText = std::array<char, 36>;

/// Key IDs that one slice collects from answers and another puts into its requests. Thread-safe.
class KeyIdQueue {
 public:
  void Collect(std::string_view container);
  bool Take(KeyIdText* id);
  size_t Size();

 private:
  std::mutex mutex_;
  std::deque<KeyIdText> ids_;
};

/// What one slice of load does.
struct Plan {
  enum class Mode { kClosed, kOpen, kConnect, kFlood };
  Mode mode = Mode::kClosed;
  int64_t duration_ns = 0;
  /// Requests a second, all connections together: kOpen.
  double rate_per_s = 0;
  /// Whole requests, sent in turn.
  std::vector<std::string> requests;
  /// With `take`, each request is `requests[n]` + one ID + `suffix`.
  std::string suffix;
  std::shared_ptr<KeyIdQueue> take;
  std::shared_ptr<KeyIdQueue> collect;
  /// Requests written at most: kFlood.
  uint64_t requests_max = 0;
};

struct Result {
  uint64_t sent = 0;
  uint64_t answers = 0;
  uint64_t closed = 0;
  uint64_t body_bytes = 0;
  int64_t elapsed_ns = 0;
  bool ran_dry = false;
  std::map<int, uint64_t> statuses;
  std::vector<int64_t> latencies_ns;
};

/// The connections of one generator; a slice runs on one thread at a time.
class Generator {
 public:
  Generator(Target target, uint32_t connections);
  ~Generator();
  /// @throws std::runtime_error if the connections do not come up within 10 s.
  Result Run(const Plan& plan);

 private:
  void OpenAll();
  Result RunLoad(const Plan& plan);
  void Finish(const Plan& plan, Result* result);
  Result RunFlood(const Plan& plan);
  bool NextRequest(const Plan& plan, std::string* request);
  void Issue(const Plan& plan, Connection* connection, int64_t due_ns, Result* result);
  void Count(const Plan& plan, Connection* connection, const Answer& answer, Result* result);

  const Target target_;
  const int epoll_;
  std::vector<std::unique_ptr<Connection>> connections_;
  size_t turn_ = 0;
  std::string request_;
};

}  // namespace qkme::bench
