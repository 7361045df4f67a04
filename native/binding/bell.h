// An eventfd on Node's event loop: calls a JavaScript function when it rings.
#pragma once

#include <napi.h>
#include <uv.h>

#include <memory>

#include "handover.h"

namespace qkme::binding {

/// Made with new, ended with Close (OwnedBell).
class Bell {
 public:
  Bell(Napi::Env env, int event_fd, Napi::Function on_ring) : env_(env), event_fd_(event_fd), context_(env, "qkme ring") {
    function_ = Napi::Persistent(on_ring);
    uv_loop_s* loop = nullptr;
    napi_get_uv_event_loop(env, &loop);
    poll_.data = this;
    uv_poll_init(loop, &poll_, event_fd);
    uv_poll_start(&poll_, UV_READABLE, [](uv_poll_t* poll, int, int) { static_cast<Bell*>(poll->data)->Ring(); });
  }
  Bell(const Bell&) = delete;
  Bell& operator=(const Bell&) = delete;

  /// Stops at once. The object itself goes in a later turn of the loop, so a function may close its own bell.
  void Close() {
    uv_poll_stop(&poll_);
    uv_close(reinterpret_cast<uv_handle_t*>(&poll_), [](uv_handle_t* handle) { delete static_cast<Bell*>(handle->data); });
  }

 private:
  ~Bell() = default;

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
  uv_poll_t poll_;
};

struct CloseBell { void operator()(Bell* bell) const { bell->Close(); } };
using OwnedBell = std::unique_ptr<Bell, CloseBell>;

}  // namespace qkme::binding
