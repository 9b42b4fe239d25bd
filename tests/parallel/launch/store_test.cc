#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <thread>
#include <vector>

#include "parallel/launch/file_store.h"
#include "parallel/launch/tcp_store.h"
#include "parallel/launch/tcp_store_server.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;

std::string NewFolder() {
  const char* root = getenv("TEST_TMPDIR");
  std::string path = std::string(root != nullptr ? root : "/tmp") + "/store.XXXXXX";
  EXPECT_NE(mkdtemp(path.data()), nullptr);
  return path;
}

class StoreTest : public testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Store> NewStore() {
    if (GetParam() == "Memory") return std::make_unique<MemoryStore>();
    if (GetParam() == "Tcp") return NewTcpStore();
    auto store = FileStore::Create(NewFolder() + "/job");
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }

 private:
  std::unique_ptr<Store> NewTcpStore() {
    TcpStoreServerOptions options;
    options.where = {"localhost", 0};
    options.secret = "a secret of sixteen or more";
    options.world_size = 2;
    server_ = *TcpStoreServer::Start(options);
    TcpStoreOptions client;
    client.where = *ParseTcpAddress("tcp://" + server_->address());
    client.secret = options.secret;
    auto store = TcpStore::Join(client);
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }

  std::unique_ptr<TcpStoreServer> server_;
};

TEST_P(StoreTest, ValuesAreThereWholeOrNotAtAll) {
  const auto store = NewStore();
  EXPECT_FALSE(store->Find("key")->has_value());
  for (const std::string& value : {std::string(), std::string("a\0b\n", 4), std::string(100000, 'x')}) {
    ASSERT_TRUE(store->Set("key", value).ok());
    EXPECT_EQ(**store->Find("key"), value);
    EXPECT_EQ(*store->Wait("key", "a value", 0), value);
  }
  // Readers never see half of what a writer replaces.
  std::thread writer([&] {
    for (int i = 0; i < 300; ++i) ASSERT_TRUE(store->Set("key", std::string(20000, 'a' + i % 26)).ok());
  });
  for (int i = 0; i < 300; ++i) {
    const std::string value = **store->Find("key");
    ASSERT_EQ(value, std::string(value.size(), value[0]));
    ASSERT_GE(value.size(), 20000u);
  }
  writer.join();
}

TEST_P(StoreTest, OneOfSeveralWins) {
  const auto store = NewStore();
  std::vector<std::string> stands(8);
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] { stands[i] = *store->SetIfAbsent("key", std::to_string(i)); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& value : stands) EXPECT_EQ(value, stands[0]);
}

TEST_P(StoreTest, WaitsHaveADeadlineAndEndWithTheJobsFault) {
  const auto store = NewStore();
  const Status late = store->Wait("key", "rank 3 to wake up", 0.05).status();
  EXPECT_EQ(late, absl::DeadlineExceededError("waited 0.05 s for rank 3 to wake up"));
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    ASSERT_TRUE(store->Set("key", "value").ok());
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    store->ReportFault(2, absl::DataLossError("the file\nis torn"));
    EXPECT_EQ(store->ReportFault(1, absl::UnknownError("later")).rank, 2);
  });
  EXPECT_EQ(*store->Wait("key", "", 20), "value");
  EXPECT_EQ(store->Wait("another", "", 20).status(), absl::DataLossError("rank 2: the file\nis torn"));
  other.join();
  ASSERT_TRUE(store->fault().has_value());
  EXPECT_EQ(store->fault()->rank, 2);
  EXPECT_EQ(store->fault()->status, absl::DataLossError("the file\nis torn"));
}

TEST_P(StoreTest, TheRankThatHadTheFaultMayAddToIt) {
  const auto store = NewStore();
  const Status fault = absl::UnavailableError("the peer is gone"), told = DescribeFault({1, fault});
  EXPECT_EQ(store->ReportFault(1, fault).status, fault);
  EXPECT_EQ(store->ReportFault(1, told).status, fault);
  const Status more = Annotate(told, "step 7");
  EXPECT_EQ(store->ReportFault(0, more).status, fault);
  EXPECT_EQ(store->ReportFault(1, absl::UnknownError("another")).status, fault);
  EXPECT_EQ(store->ReportFault(1, more).status, more);
  EXPECT_EQ(store->fault()->status, more);
}

TEST_P(StoreTest, AWitnessOfAFaultHasMoreToSayThanTheFault) {
  const auto store = NewStore();
  const Status killed = absl::UnavailableError("its process was killed"), told = DescribeFault({1, killed});
  store->ReportWitness(0, Annotate(told, "step 7"));
  EXPECT_FALSE(store->witness().has_value()) << "there is no fault yet";
  store->ReportFault(1, killed);
  for (const auto& [rank, status] :
       {std::make_pair(0, told), std::make_pair(0, absl::UnknownError("something else, in more words")),
        std::make_pair(1, Annotate(told, "step 7"))}) {
    store->ReportWitness(rank, status);
    EXPECT_FALSE(store->witness().has_value()) << rank << ": " << status;
  }
  store->ReportWitness(2, Annotate(told, "step 7, bucket 1"));
  store->ReportWitness(0, Annotate(told, "step 7, bucket 2"));
  ASSERT_TRUE(store->witness().has_value());
  EXPECT_EQ(store->witness()->rank, 2);
  EXPECT_EQ(store->witness()->status.message(), "step 7, bucket 1: rank 1: its process was killed");
  EXPECT_EQ(store->fault()->status, killed);
}

INSTANTIATE_TEST_SUITE_P(Stores, StoreTest, testing::Values("Memory", "File", "Tcp"),
                         [](const auto& info) { return info.param; });

TEST(FileStoreTest, AFolderIsMadeOnceAndPrivate) {
  const std::string folder = NewFolder() + "/job";
  EXPECT_EQ(FileStore::Open(folder).status().code(), absl::StatusCode::kNotFound);
  const auto store = FileStore::Create(folder);
  ASSERT_TRUE(store.ok());
  EXPECT_EQ(fs::status(folder).permissions(), fs::perms::owner_all);
  EXPECT_EQ(FileStore::Create(folder).status().code(), absl::StatusCode::kAlreadyExists);
  const auto other = FileStore::Open(folder);
  ASSERT_TRUE(other.ok());
  ASSERT_TRUE((*store)->Set("hello.1.ab", "1").ok());
  EXPECT_EQ(**(*other)->Find("hello.1.ab"), "1");
  EXPECT_EQ(*(*other)->Keys("hello."), std::vector<std::string>{"hello.1.ab"});

  chmod(folder.c_str(), 0755);
  EXPECT_EQ(FileStore::Open(folder).status().code(), absl::StatusCode::kPermissionDenied);
  chmod(folder.c_str(), 0700);
  fs::create_symlink(folder, folder + "-link");
  EXPECT_EQ(FileStore::Open(folder + "-link").status().code(), absl::StatusCode::kPermissionDenied);

  fs::remove_all(folder);
  EXPECT_EQ((*other)->Find("key").status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ((*other)->Wait("key", "", 20).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE((*other)->Set("key", "").ok());
}

}  // namespace
}  // namespace trireme
