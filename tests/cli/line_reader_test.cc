#include "cli/line_reader.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <thread>

namespace herald::cli {
namespace {

class Pipe {
 public:
  Pipe() { EXPECT_EQ(pipe2(fds_, O_CLOEXEC), 0); }
  ~Pipe() {
    close(fds_[0]);
    CloseWriter();
  }
  int reader() const { return fds_[0]; }
  void Write(std::string_view text) {
    ASSERT_EQ(write(fds_[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  void CloseWriter() {
    if (fds_[1] >= 0) close(fds_[1]);
    fds_[1] = -1;
  }

 private:
  int fds_[2] = {-1, -1};
};

std::string NextLine(LineReader& reader) {
  std::string_view line;
  EXPECT_EQ(reader.Next(&line), LineReader::kLine);
  return std::string(line);
}

TEST(LineReaderTest, SplitsLinesAndKeepsEmptyOnes) {
  Pipe pipe;
  LineReader reader(pipe.reader(), 100);
  pipe.Write("one\ntwo\r\n\nlast");
  pipe.CloseWriter();
  EXPECT_EQ(NextLine(reader), "one");
  EXPECT_EQ(NextLine(reader), "two");
  EXPECT_EQ(NextLine(reader), "");
  EXPECT_EQ(NextLine(reader), "last");
  std::string_view line;
  EXPECT_EQ(reader.Next(&line), LineReader::kEnd);
  EXPECT_EQ(reader.Next(&line), LineReader::kEnd);
}

TEST(LineReaderTest, HalfALineIsNotYetOne) {
  Pipe pipe;
  LineReader reader(pipe.reader(), 100);
  std::string_view line;
  EXPECT_EQ(reader.Next(&line), LineReader::kNotYet);
  pipe.Write("ha");
  EXPECT_EQ(reader.Next(&line), LineReader::kNotYet);
  pipe.Write("lf\n");
  EXPECT_EQ(NextLine(reader), "half");
  EXPECT_EQ(reader.Next(&line), LineReader::kNotYet);
}

TEST(LineReaderTest, ALineThatIsTooLongIsSkippedWhole) {
  Pipe pipe;
  LineReader reader(pipe.reader(), 10);
  std::string_view line;
  pipe.Write(std::string(8, 'x'));
  EXPECT_EQ(reader.Next(&line), LineReader::kNotYet);
  pipe.Write(std::string(8, 'x'));
  EXPECT_EQ(reader.Next(&line), LineReader::kNotYet);
  pipe.Write("tail\nnext\n" + std::string(11, 'y') + "\n0123456789\n");
  EXPECT_EQ(reader.Next(&line), LineReader::kTooLong);
  EXPECT_EQ(NextLine(reader), "next");
  EXPECT_EQ(reader.Next(&line), LineReader::kTooLong);
  EXPECT_EQ(NextLine(reader), "0123456789");
}

TEST(LineReaderTest, ATooLongLastLineIsReportedOnce) {
  Pipe pipe;
  LineReader reader(pipe.reader(), 3);
  std::string_view line;
  pipe.Write("abcdef");
  pipe.CloseWriter();
  EXPECT_EQ(reader.Next(&line), LineReader::kTooLong);
  EXPECT_EQ(reader.Next(&line), LineReader::kEnd);
}

TEST(LineReaderTest, StopWakesAWaiterAndEndsTheLines) {
  Pipe pipe;
  LineReader reader(pipe.reader(), 100);
  std::thread stopper([&] { reader.Stop(); });
  reader.Wait();
  stopper.join();
  std::string_view line;
  EXPECT_EQ(reader.Next(&line), LineReader::kEnd);
  reader.Sleep(std::chrono::hours(1));  // returns now
}

TEST(LineReaderTest, ReadsRegularFiles) {
  std::FILE* file = std::tmpfile();
  ASSERT_NE(file, nullptr);
  std::fputs("a\nb\n", file);
  std::fflush(file);
  std::rewind(file);
  LineReader reader(fileno(file), 100);
  EXPECT_EQ(NextLine(reader), "a");
  EXPECT_EQ(NextLine(reader), "b");
  std::string_view line;
  EXPECT_EQ(reader.Next(&line), LineReader::kEnd);
  std::fclose(file);
}

}  // namespace
}  // namespace herald::cli
