#include "service/stream_places.h"

#include <gtest/gtest.h>

namespace herald {
namespace {

TEST(StreamPlacesTest, G6OneProducerTakesHalf) {
  StreamPlaces places;
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(places.Take("a", 0, 8).ok());
  EXPECT_EQ(places.Take("a", 0, 8).code(), absl::StatusCode::kResourceExhausted);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(places.Take("b", 0, 8).ok());
  EXPECT_EQ(places.Take("c", 0, 8).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(places.open(), 8u);
  places.Release("a");
  EXPECT_TRUE(places.Take("c", 0, 8).ok());
}

TEST(StreamPlacesTest, G6ItsOwnShareGoesBeforeTheDefault) {
  StreamPlaces places;
  EXPECT_TRUE(places.Take("few", 1, 8).ok());
  EXPECT_FALSE(places.Take("few", 1, 8).ok());
  for (int i = 0; i < 7; ++i) EXPECT_TRUE(places.Take("many", 100, 8).ok());
}

TEST(StreamPlacesTest, CallersWithoutAnIdentityShareAllPlaces) {
  StreamPlaces places;
  for (int i = 0; i < 8; ++i) EXPECT_TRUE(places.Take("", 0, 8).ok());
  EXPECT_FALSE(places.Take("", 0, 8).ok());
}

}  // namespace
}  // namespace herald
