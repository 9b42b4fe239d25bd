#include "core/base/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/core/testing/temporary_folder.h"

namespace trireme {
namespace {

using ::testing::HasSubstr;
using testing::TemporaryFolder;

std::vector<std::string> Names(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    names.push_back(entry.path().filename().string());
  return names;
}

TEST(FilesTest, BytesComeBack) {
  const TemporaryFolder folder;
  for (size_t size : {size_t{0}, size_t{1}, size_t{65535}, size_t{65536}, size_t{65537}, size_t{300000}}) {
    std::string bytes(size, '\0');
    for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 31);
    const std::string path = folder / "file";
    ASSERT_TRUE(WriteFileDurably(path, bytes).ok());
    EXPECT_EQ(*ReadFile(path), bytes);
    ASSERT_TRUE(WriteFileAtomically(path, bytes + "x").ok());
    EXPECT_EQ(*ReadFile(path), bytes + "x");
  }
  EXPECT_THAT(Names(folder.path()), ::testing::ElementsAre("file"));
}

TEST(FilesTest, FaultsNameThePathAndTheReason) {
  const TemporaryFolder folder;
  const Status missing = ReadFile(folder / "missing").status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(missing.message()), HasSubstr(folder / "missing"));
  EXPECT_THAT(std::string(missing.message()), HasSubstr("No such file"));
  EXPECT_EQ(ReadFile(folder.path()).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(WriteFileDurably(folder / "no/such/folder", "x").code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(MakeFolder(folder.Write("file", "") + "/below").ok());
  EXPECT_FALSE(SyncFolder(folder / "missing").ok());
}

// To open one waits for a writer, and to read the other does not end.
TEST(FilesTest, PipesAndDevicesAreNoFilesButWhereTheSystemHandsThemOver) {
  const TemporaryFolder folder;
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  std::filesystem::create_symlink("/dev/zero", folder / "zero");
  for (const char* name : {"pipe", "zero"}) {
    const Status status = ReadFile(folder / name).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(folder / name));
  }
  EXPECT_EQ(*ReadFile("/dev/null"), "");
}

TEST(FilesTest, AFolderThatCannotBeMadeIsTheUsersFaultWhereSomethingElseIsThere) {
  const TemporaryFolder folder;
  const std::string file = folder.Write("file", "");
  for (const std::string& path : {file, file + "/below", folder / std::string(300, 'x')}) {
    EXPECT_EQ(ExitCode(MakeFolder(path)), 2) << MakeFolder(path);
  }
}

TEST(FilesTest, WhatCannotBeToldMayExist) {
  const TemporaryFolder folder;
  EXPECT_TRUE(PathExists(folder.path()));
  EXPECT_TRUE(PathExists(folder.Write("file", "")));
  EXPECT_FALSE(PathExists(folder / "missing"));
  EXPECT_FALSE(PathExists(folder / "file/below"));
  EXPECT_TRUE(PathExists(folder / std::string(300, 'x')));
}

TEST(FilesTest, AWriteThatFailsLeavesNothingBehind) {
  const TemporaryFolder folder;
  // A folder cannot be replaced by a file.
  ASSERT_TRUE(MakeFolder(folder / "taken/inner").ok());
  EXPECT_FALSE(WriteFileAtomically(folder / "taken", "bytes").ok());
  EXPECT_THAT(Names(folder.path()), ::testing::ElementsAre("taken"));
}

TEST(FilesTest, MakesFoldersWithParents) {
  const TemporaryFolder folder;
  EXPECT_TRUE(MakeFolder(folder / "a/b/c").ok());
  EXPECT_TRUE(MakeFolder(folder / "a/b/c").ok());
  EXPECT_TRUE(std::filesystem::is_directory(folder / "a/b/c"));
}

}  // namespace
}  // namespace trireme
