#include "core/base/fault_log.h"

#include <gtest/gtest.h>

#include <thread>

namespace trireme {
namespace {

TEST(FaultLogTest, CountsByKindAndKeepsPlaces) {
  FaultLog log;
  EXPECT_TRUE(log.empty());
  EXPECT_EQ(log.Summary(), "");
  log.Add("box has no area", "a.xml:3", "width is 0; left out");
  log.Add("image does not decode", "b.jpg", "left out");
  log.Add("box has no area", "c.xml:9", "height is 0; left out");
  EXPECT_FALSE(log.empty());
  EXPECT_EQ(log.counts().at("box has no area"), 2);
  ASSERT_EQ(log.faults().size(), 3u);
  EXPECT_EQ(log.faults()[1].where, "b.jpg");
  EXPECT_EQ(log.faults()[2].message, "height is 0; left out");
  EXPECT_EQ(log.Summary(),
            "3 faults in the data: 2 x box has no area (first: a.xml:3), 1 x image does not decode (first: b.jpg)");
}

TEST(FaultLogTest, OneFaultIsOneFault) {
  FaultLog log;
  for (int epoch = 0; epoch < 3; ++epoch) log.Add("kind", "place", "message");
  EXPECT_EQ(log.Summary(), "1 fault in the data: 1 x kind (first: place)");
}

TEST(FaultLogTest, CountsBeyondWhatItKeeps) {
  FaultLog log;
  for (int i = 0; i < FaultLog::kMaxKept + 20; ++i) log.Add("many", std::to_string(i), "");
  log.Add("few", "x", "");
  EXPECT_EQ(log.counts().at("many"), FaultLog::kMaxKept + 20);
  EXPECT_EQ(log.faults().size(), FaultLog::kMaxKept + 1u);
  ASSERT_EQ(log.all().size(), FaultLog::kMaxKept + 21u);
  FaultLog other;
  other.Add("many", "7", "");
  for (const Fault& fault : log.all()) other.Add(fault.kind, fault.where, fault.message);
  EXPECT_EQ(other.counts(), log.counts());
}

TEST(FaultLogTest, TakesFaultsFromManyThreads) {
  FaultLog log;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&log, t] {
      for (int i = 0; i < 200; ++i) log.Add("kind", std::to_string(i + 100 * t), "");
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(log.counts().at("kind"), 500);
}

}  // namespace
}  // namespace trireme
