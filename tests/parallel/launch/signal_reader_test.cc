#include "parallel/launch/signal_reader.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace trireme {
namespace {

TEST(SignalReaderTest, ReadsWhatAsksToEndInItsOrder) {
  SignalReader signals;
  EXPECT_EQ(signals.Next(), 0);
  raise(SIGTERM);
  EXPECT_EQ(signals.Next(), SIGTERM);
  raise(SIGHUP);
  EXPECT_EQ(signals.Next(), SIGHUP);
  EXPECT_EQ(signals.Next(), 0);
}

TEST(SignalReaderTest, WhatIsIgnoredIsNotRead) {
  const auto before = signal(SIGHUP, SIG_IGN);  // nohup's
  {
    SignalReader signals;
    raise(SIGHUP);
    EXPECT_EQ(signals.Next(), 0);
  }
  signal(SIGHUP, before);
}

TEST(SignalReaderTest, NobodyToReadWhatIsWrittenIsAnError) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  close(ends[0]);
  {
    SignalReader signals;
    EXPECT_EQ(write(ends[1], "x", 1), -1);
    EXPECT_EQ(errno, EPIPE);
  }
  EXPECT_EXIT((void)!write(ends[1], "x", 1), ::testing::KilledBySignal(SIGPIPE), "");
  close(ends[1]);
}

}  // namespace
}  // namespace trireme
