#include "parallel/launch/signal_reader.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include <initializer_list>

namespace trireme {

SignalReader::SignalReader() {
  sigemptyset(&signals_);
  for (int number : {SIGCHLD, SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals_, number);
  pthread_sigmask(SIG_BLOCK, &signals_, &before_);
  file_ = signalfd(-1, &signals_, SFD_CLOEXEC | SFD_NONBLOCK);
}

SignalReader::~SignalReader() {
  if (file_ >= 0) close(file_);
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

int SignalReader::Next() {
  signalfd_siginfo info;
  const bool got = read(file_, &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info));
  return got ? static_cast<int>(info.ssi_signo) : 0;
}

}  // namespace trireme
