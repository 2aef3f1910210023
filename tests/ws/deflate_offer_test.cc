#include "ws/deflate_offer.h"

#include <gtest/gtest.h>

#include <string>

namespace herald {
namespace {

constexpr auto kDeclined = DeflateAnswer::kDeclined;
constexpr auto kAccepted = DeflateAnswer::kAccepted;
constexpr auto kWithWindow = DeflateAnswer::kAcceptedWithWindow;

std::string Answer(std::string_view offers) {
  const DeflateAnswer answer = AnswerDeflate(offers);
  return answer == kDeclined ? "" : std::string(DeflateHeader(answer));
}

TEST(DeflateOfferTest, AnswersWhatClientsOffer) {
  const std::string plain =
      "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
  EXPECT_EQ(Answer("permessage-deflate"), plain);
  EXPECT_EQ(Answer("permessage-deflate; client_max_window_bits"), plain);
  EXPECT_EQ(Answer("permessage-deflate; server_max_window_bits=12; client_max_window_bits=12"),
            plain + "; server_max_window_bits=12");
}

TEST(DeflateOfferTest, AcceptsWhateverTheClientSaysOfItself) {
  for (const char* offer :
       {"permessage-deflate;client_max_window_bits=8",
        "PERMESSAGE-DEFLATE ; Client_Max_Window_Bits",
        "permessage-deflate; client_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; client_max_window_bits=\"15\""})
    EXPECT_EQ(AnswerDeflate(offer), kAccepted) << offer;
}

// RFC 7692 §7.1.2.1: the answer must not be above the offer, and our frames are made for 12.
TEST(DeflateOfferTest, DeclinesAWindowThatSharedFramesDoNotFit) {
  for (int bits = 8; bits <= 15; ++bits) {
    EXPECT_EQ(AnswerDeflate("permessage-deflate; server_max_window_bits=" + std::to_string(bits)),
              bits < 12 ? kDeclined : kWithWindow)
        << bits;
  }
}

TEST(DeflateOfferTest, TakesTheFirstOfferThatWillDo) {
  EXPECT_EQ(AnswerDeflate("permessage-deflate; server_max_window_bits=10, permessage-deflate"),
            kAccepted);
  EXPECT_EQ(AnswerDeflate("x-webkit-deflate-frame, permessage-deflate; server_max_window_bits=15, "
                          "permessage-deflate"),
            kWithWindow);
  EXPECT_EQ(AnswerDeflate("permessage-deflate; unknown, permessage-deflate"), kAccepted);
  EXPECT_EQ(AnswerDeflate("permessage-deflate; unknown, x-other"), kDeclined);
  EXPECT_EQ(AnswerDeflate("permessage-deflate; client_max_window_bits, permessage-deflate; "
                          "server_max_window_bits=15"),
            kAccepted);
}

// §7.1: an offer with any of these must be declined.
TEST(DeflateOfferTest, DeclinesMalformedOffers) {
  for (const char* offer :
       {"",
        ",",
        "permessage-bzip2",
        "permessage-deflate2",
        "x-webkit-deflate-frame",
        "permessage-deflate; unknown",
        "permessage-deflate; unknown=1",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=012",
        "permessage-deflate; server_max_window_bits=+12",
        "permessage-deflate; server_max_window_bits=12x",
        "permessage-deflate; server_max_window_bits=12; server_max_window_bits=12",
        "permessage-deflate; client_max_window_bits=7",
        "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; client_max_window_bits; client_max_window_bits",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; client_no_context_takeover=true",
        "permessage-deflate; client_no_context_takeover; client_no_context_takeover"})
    EXPECT_EQ(AnswerDeflate(offer), kDeclined) << offer;
}

}  // namespace
}  // namespace herald
