#include "parallel/communicator/gloo/gloo_device.h"

#include <gloo/transport/tcp/device.h>
#include <net/if.h>
#include <netdb.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

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
  try {
    return gloo::transport::tcp::CreateDevice(where);
  } catch (const std::exception& error) {
    return absl::UnavailableError(absl::StrCat("listen_on is \"", listen_on, "\": ", error.what()));
  }
}

}  // namespace trireme
