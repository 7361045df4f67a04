// An eventfd on Node's event loop: calls a JavaScript function when it rings.
#pragma once

#include "binding/napi_catching.h"
#include <uv.h>

#include <memory>
#include <string>

#include "binding/ring_options.h"
#include "handover.h"

namespace qkme::binding {

class Bell;
struct CloseBell { void operator()(Bell* bell) const; };
using OwnedBell = std::unique_ptr<Bell, CloseBell>;

/// Made with Open, ended when its owner lets it go.
class Bell {
 public:
  /// `event_fd` stays the caller's, who closes it after the bell. @throws Napi::Error RING_INVALID: it cannot be watched.
  static OwnedBell Open(Napi::Env env, int event_fd, Napi::Function on_ring) {
    uv_loop_s* loop = nullptr;
    std::unique_ptr<Bell> bell(new Bell(env, event_fd, on_ring));
    int fault = napi_get_uv_event_loop(env, &loop) == napi_ok ? uv_poll_init(loop, &bell->poll_, event_fd) : UV_EINVAL;
    if (fault != 0) throw Fault(env, fault);
    // The loop knows it now: it goes by uv_close only.
    OwnedBell opened(bell.release());
    fault = uv_poll_start(&opened->poll_, UV_READABLE, [](uv_poll_t* poll, int, int) { static_cast<Bell*>(poll->data)->Ring(); });
    if (fault != 0) throw Fault(env, fault);
    return opened;
  }
  Bell(const Bell&) = delete;
  Bell& operator=(const Bell&) = delete;

  /// Stops at once. The object itself goes in a later turn of the loop, so a function may close its own bell.
  void Close() {
    uv_poll_stop(&poll_);
    uv_close(reinterpret_cast<uv_handle_t*>(&poll_), [](uv_handle_t* handle) { delete static_cast<Bell*>(handle->data); });
  }

 private:
  friend std::default_delete<Bell>;
  Bell(Napi::Env env, int event_fd, Napi::Function on_ring)
      : env_(env), event_fd_(event_fd), context_(env, "qkme ring"), function_(Napi::Persistent(on_ring)) {
    poll_.data = this;
  }
  ~Bell() = default;

  static Napi::Error Fault(Napi::Env env, int fault) {
    return CodedError(env, "RING_INVALID", std::string("a ring's bell cannot be watched: ") + uv_strerror(fault));
  }

  void Ring() {
    ClearBell(event_fd_);
    Napi::HandleScope scope(env_);
    try {
      function_.Value().MakeCallback(env_.Global(), 0, nullptr, context_);
    } catch (const Napi::Error& error) {
      napi_fatal_exception(env_, error.Value());
    }
  }

  Napi::Env env_;
  int event_fd_;
  Napi::AsyncContext context_;
  Napi::FunctionReference function_;
  uv_poll_t poll_{};
};

inline void CloseBell::operator()(Bell* bell) const { bell->Close(); }

}  // namespace qkme::binding
