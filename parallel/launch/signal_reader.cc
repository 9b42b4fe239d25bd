#include "parallel/launch/signal_reader.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include <initializer_list>

namespace trireme {

SignalReader::SignalReader() {
  sigemptyset(&signals_);
  for (int number : {SIGCHLD, SIGINT, SIGTERM, SIGHUP}) {
    // Blocked, a signal comes even where it is ignored: SIGHUP under nohup.
    struct sigaction action = {};
    if (sigaction(number, nullptr, &action) == 0 && action.sa_handler == SIG_IGN) continue;
    sigaddset(&signals_, number);
  }
  pthread_sigmask(SIG_BLOCK, &signals_, &before_);
  struct sigaction ignored = {};
  ignored.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &ignored, &pipe_before_);
  file_ = signalfd(-1, &signals_, SFD_CLOEXEC | SFD_NONBLOCK);
}

SignalReader::~SignalReader() {
  if (file_ >= 0) close(file_);
  sigaction(SIGPIPE, &pipe_before_, nullptr);
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

int SignalReader::Next() {
  signalfd_siginfo info;
  const bool got = read(file_, &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info));
  return got ? static_cast<int>(info.ssi_signo) : 0;
}

}  // namespace trireme
