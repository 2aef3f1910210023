#include "session/mailbox.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace herald {
namespace {

Mail Task(std::function<void()> task = [] {}) {
  return {nullptr, nullptr, nullptr, std::move(task)};
}

Mail OfBytes(std::size_t bytes) {
  MessageBody body;
  body.payload.assign(bytes, 'x');
  return {
      std::make_shared<const Message>(std::make_shared<const MessageBody>(body), "t", Position{}),
      nullptr, nullptr, nullptr};
}

TEST(MailboxTest, WakesOnceABurst) {
  Mailbox mailbox({});
  EXPECT_TRUE(mailbox.Post(Task()));
  EXPECT_FALSE(mailbox.Post(Task()));
  EXPECT_FALSE(mailbox.Post(Task()));
  std::vector<Mail> mails;
  mailbox.Take(mails);
  EXPECT_EQ(mails.size(), 3u);
  EXPECT_TRUE(mailbox.Post(Task()));
}

TEST(MailboxTest, KeepsTheOrderOfPosting) {
  Mailbox mailbox({});
  std::vector<int> order;
  for (int i = 0; i < 100; ++i) mailbox.Post(Task([&order, i] { order.push_back(i); }));
  std::vector<Mail> mails;
  mailbox.Take(mails);
  for (Mail& mail : mails) mail.task();
  for (int i = 0; i < 100; ++i) EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
}

TEST(MailboxTest, CountsWhatIsPostedUntilItIsDone) {
  Mailbox mailbox({});
  mailbox.Post(Task());
  mailbox.Post(OfBytes(10));
  std::vector<Mail> mails;
  mailbox.Take(mails);
  EXPECT_EQ(mailbox.depth(), 2u);
  mailbox.Done(2, 10);
  EXPECT_EQ(mailbox.depth(), 0u);
}

TEST(MailboxTest, IsAboveItsWatermarkByMessagesOrBytes) {
  Mailbox mailbox({.high_messages = 2, .high_bytes = 100});
  mailbox.Post(Task());
  mailbox.Post(Task());
  EXPECT_FALSE(mailbox.AboveHighWatermark());
  mailbox.Post(Task());
  EXPECT_TRUE(mailbox.AboveHighWatermark());

  Mailbox bytes({.high_messages = 100, .high_bytes = 100});
  bytes.Post(OfBytes(100));
  EXPECT_FALSE(bytes.AboveHighWatermark());
  bytes.Post(OfBytes(1));
  EXPECT_TRUE(bytes.AboveHighWatermark());
}

TEST(MailboxTest, RefusesNothingAboveItsWatermark) {
  Mailbox mailbox({.high_messages = 1, .high_bytes = 1});
  for (int i = 0; i < 100; ++i) mailbox.Post(OfBytes(10));
  std::vector<Mail> mails;
  mailbox.Take(mails);
  EXPECT_EQ(mails.size(), 100u);
}

TEST(MailboxTest, NotifiesOnceItIsDownToHalf) {
  Mailbox mailbox({.high_messages = 4, .high_bytes = 1000});
  int notified = 0;
  EXPECT_FALSE(mailbox.NotifyWhenLow([&] { ++notified; }));  // not above: nothing is kept
  for (int i = 0; i < 5; ++i) mailbox.Post(Task());
  EXPECT_TRUE(mailbox.NotifyWhenLow([&] { ++notified; }));
  EXPECT_TRUE(mailbox.NotifyWhenLow([&] { ++notified; }));
  mailbox.Done(2, 0);
  EXPECT_EQ(notified, 0);
  mailbox.Done(1, 0);
  EXPECT_EQ(notified, 2);
  mailbox.Done(2, 0);
  EXPECT_EQ(notified, 2);
}

TEST(MailboxTest, NotifiesOnlyWhenMessagesAndBytesAreLow) {
  Mailbox mailbox({.high_messages = 100, .high_bytes = 100});
  mailbox.Post(OfBytes(60));
  mailbox.Post(OfBytes(60));
  bool notified = false;
  EXPECT_TRUE(mailbox.NotifyWhenLow([&] { notified = true; }));
  mailbox.Done(1, 60);
  EXPECT_FALSE(notified);
  mailbox.Done(1, 60);
  EXPECT_TRUE(notified);
}

TEST(MailboxTest, ANotifiedProducerMayAskAgain) {
  Mailbox mailbox({.high_messages = 1, .high_bytes = 1000});
  mailbox.Post(Task());
  mailbox.Post(Task());
  bool asked_again = false;
  EXPECT_TRUE(mailbox.NotifyWhenLow([&] { asked_again = !mailbox.NotifyWhenLow([] {}); }));
  mailbox.Done(2, 0);
  EXPECT_TRUE(asked_again);
}

// Producers that wait whenever it is full never wait for ever, and all arrives, woken for.
TEST(MailboxTest, LosesNoMailAndNoWakeUnderConcurrency) {
  constexpr int kProducers = 3, kMails = 20'000;
  Mailbox mailbox({.high_messages = 64, .high_bytes = 1 << 20});
  std::atomic<int> wakes{0}, resumes{0};
  std::vector<int> last(kProducers, -1);
  bool in_order = true;
  std::vector<std::thread> producers;
  for (int p = 0; p < kProducers; ++p) {
    producers.emplace_back([&, p] {
      for (int i = 0; i < kMails; ++i) {
        std::atomic<bool> low{false};
        if (mailbox.NotifyWhenLow([&low] { low = true, low.notify_one(); })) {
          low.wait(false);
          ++resumes;
        }
        if (mailbox.Post(Task([&, p, i] {
              in_order = in_order && last[static_cast<std::size_t>(p)] == i - 1;
              last[static_cast<std::size_t>(p)] = i;
            }))) {
          ++wakes;
          wakes.notify_one();
        }
      }
    });
  }
  int taken = 0, woken_for_nothing = 0;
  std::vector<Mail> mails;
  while (taken < kProducers * kMails) {
    wakes.wait(0);
    --wakes;
    mailbox.Take(mails);
    woken_for_nothing += mails.empty() ? 1 : 0;
    for (Mail& mail : mails) mail.task();
    taken += static_cast<int>(mails.size());
    const std::size_t done = mails.size();
    mails.clear();
    mailbox.Done(done, 0);
  }
  for (std::thread& producer : producers) producer.join();
  EXPECT_TRUE(in_order);
  EXPECT_EQ(woken_for_nothing, 0);
  EXPECT_EQ(wakes, 0);
  EXPECT_EQ(mailbox.depth(), 0u);
}

}  // namespace
}  // namespace herald
