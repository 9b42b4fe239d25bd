#include "parallel/communicator/gloo/gloo_device.h"

#include <gloo/transport/tcp/device.h>
#include <net/if.h>
#include <netdb.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace trireme {
namespace {

// Gloo writes to sockets whose other end may be gone.
void IgnoreBrokenPipes() {
  struct sigaction now = {};
  if (sigaction(SIGPIPE, nullptr, &now) == 0 && now.sa_handler == SIG_DFL) signal(SIGPIPE, SIG_IGN);
}

// Gloo does not survive to be told an address that is none.
bool CanListenOn(const std::string& address) {
  addrinfo hints = {}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  if (getaddrinfo(address.c_str(), nullptr, &hints, &found) != 0) return false;
  bool can = false;
  for (const addrinfo* at = found; at != nullptr && !can; at = at->ai_next) {
    const int file = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
    can = file >= 0 && bind(file, at->ai_addr, at->ai_addrlen) == 0;
    if (file >= 0) close(file);
  }
  freeaddrinfo(found);
  return can;
}

using DevicePointer = std::shared_ptr<gloo::transport::Device>;

// Devices that nobody uses, for whoever asks next. None is ever destroyed: Gloo of 2023 and later (Ubuntu 24.04) ends
// the process if that happens before one who has connected says which pair it is for, as a stranger may never do. The
// device's thread is then the last that holds on to itself, and waits for its own end.
class IdleDevices {
 public:
  // Null if there is none.
  DevicePointer Take(const std::string& listen_on) {
    std::lock_guard<std::mutex> lock(mutex_);
    // A forked process does not have its parent's threads.
    const auto at = std::find_if(devices_.begin(), devices_.end(), [&](const Idle& idle) {
      return idle.listen_on == listen_on && idle.process == getpid();
    });
    if (at == devices_.end()) return nullptr;
    DevicePointer device = std::move(at->device);
    devices_.erase(at);
    return device;
  }

  void Put(const std::string& listen_on, DevicePointer device) {
    std::lock_guard<std::mutex> lock(mutex_);
    devices_.push_back({listen_on, getpid(), std::move(device)});
  }

 private:
  struct Idle {
    std::string listen_on;
    pid_t process;
    DevicePointer device;
  };
  std::mutex mutex_;
  std::vector<Idle> devices_;
};

IdleDevices& Idle() {
  static auto* const idle = new IdleDevices;
  return *idle;
}

}  // namespace

StatusOr<std::shared_ptr<gloo::transport::Device>> OpenGlooDevice(const std::string& listen_on) {
  IgnoreBrokenPipes();
  const bool is_interface = if_nametoindex(listen_on.c_str()) != 0;
  if (!is_interface && !CanListenOn(listen_on)) {
    return absl::InvalidArgumentError(absl::StrCat("listen_on is \"", listen_on,
                                                   "\", which is neither a network interface nor an address of this "
                                                   "machine"));
  }
  gloo::transport::tcp::attr where;
  (is_interface ? where.iface : where.hostname) = listen_on;
  DevicePointer device = Idle().Take(listen_on);
  try {
    if (device == nullptr) device = gloo::transport::tcp::CreateDevice(where);
  } catch (const std::exception& error) {
    return absl::UnavailableError(absl::StrCat("listen_on is \"", listen_on, "\": ", error.what()));
  }
  gloo::transport::Device* const pointer = device.get();
  return DevicePointer(pointer, [listen_on, device = std::move(device)](gloo::transport::Device*) mutable {
    Idle().Put(listen_on, std::move(device));
  });
}

}  // namespace trireme
