/*
 * A Cyclone DDS participant with one endpoint of topic "Reading" in partition "north".
 * cyclone DOMAIN pub|sub|none SECONDS USER_DATA_OCTETS SAMPLE_OCTETS
 * The rest of its settings come from CYCLONEDDS_URI. It leaves in order when its time is over. With WATCH in the
 * environment it prints a line for each change that it sees: found or lost PREFIX, writer or reader PREFIX TOPIC, matched
 * NUMBER, sample when the first one comes, and sample of ID when the first one of a publisher comes. Samples are of
 * instance ID, or 1. With PLAIN in the environment it asks for no durability, deadline or liveliness of its peer.
 * With BEST_EFFORT in the environment the endpoint is not reliable, with PARTITION it is in that one, and with
 * ENDPOINT_SECONDS it is deleted after that time while the participant stays. With NUMBERED it keeps nothing for readers that
 * come late, writes instance NUMBERED with a number in its octets, and prints each sample that comes: sample INSTANCE NUMBER.
 */
#include "reading.h"
#include <dds/dds.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_prefix(const char *what, const dds_guid_t *key)
{
  printf("%s ", what);
  for (int i = 0; i < 12; i++) printf("%02x", key->v[i]);
}

static void print_changes(dds_entity_t participants, dds_entity_t writers, dds_entity_t readers)
{
  void *sample = NULL;
  dds_sample_info_t info;
  for (; dds_take(participants, &sample, &info, 1, 1) > 0; dds_return_loan(participants, &sample, 1)) {
    const dds_builtintopic_participant_t *found = sample;
    print_prefix(info.instance_state == DDS_IST_ALIVE ? "found" : "lost", &found->key);
    printf("\n");
  }
  const dds_entity_t endpoints[] = {writers, readers};
  for (int i = 0; i < 2; i++) {
    for (; dds_take(endpoints[i], &sample, &info, 1, 1) > 0; dds_return_loan(endpoints[i], &sample, 1)) {
      const dds_builtintopic_endpoint_t *found = sample;
      if (info.instance_state != DDS_IST_ALIVE) continue;
      print_prefix(i == 0 ? "writer" : "reader", &found->participant_key);
      printf(" %s\n", found->topic_name);
    }
  }
  fflush(stdout);
}

int main(int argc, char **argv)
{
  if (argc != 6) return 2;
  const dds_domainid_t domain = (dds_domainid_t)atoi(argv[1]);
  const char *role = argv[2];
  const double seconds = atof(argv[3]);
  const size_t user_data = (size_t)atoi(argv[4]);
  const uint32_t octets = (uint32_t)atoi(argv[5]);

  char *blob = malloc(user_data + 1);
  for (size_t i = 0; i < user_data; i++) blob[i] = (char)('a' + i % 26);
  dds_qos_t *qos = dds_create_qos();
  if (user_data > 0) dds_qset_userdata(qos, blob, user_data < 64 ? user_data : 64);
  dds_qset_entity_name(qos, "recorded");
  const dds_entity_t participant = dds_create_participant(domain, qos, NULL);
  if (participant < 0) return 1;
  const dds_entity_t topic = dds_create_topic(participant, &plant_Reading_desc, "Reading", NULL, NULL);

  dds_qos_t *group = dds_create_qos();
  const char *partitions[] = {getenv("PARTITION") ? getenv("PARTITION") : "north"};
  dds_qset_partition(group, 1, partitions);
  dds_qos_t *endpoint = dds_create_qos();
  const dds_reliability_kind_t kind = getenv("BEST_EFFORT") ? DDS_RELIABILITY_BEST_EFFORT : DDS_RELIABILITY_RELIABLE;
  dds_qset_reliability(endpoint, kind, DDS_MSECS(250));
  const double endpoint_seconds = getenv("ENDPOINT_SECONDS") ? atof(getenv("ENDPOINT_SECONDS")) : seconds;
  const char *numbered = getenv("NUMBERED");
  const bool plain = getenv("PLAIN") != NULL;
  dds_qset_durability(endpoint, numbered || plain ? DDS_DURABILITY_VOLATILE : DDS_DURABILITY_TRANSIENT_LOCAL);
  if (!plain) {
    dds_qset_deadline(endpoint, DDS_SECS(2));
    dds_qset_liveliness(endpoint, DDS_LIVELINESS_MANUAL_BY_TOPIC, DDS_SECS(5));
  }
  dds_qset_ownership(endpoint, DDS_OWNERSHIP_EXCLUSIVE);
  if (user_data > 0) dds_qset_userdata(endpoint, blob, user_data);

  const bool watch = getenv("WATCH") != NULL;
  dds_entity_t participants = 0, writers = 0, readers = 0;
  if (watch) {
    participants = dds_create_reader(participant, DDS_BUILTIN_TOPIC_DCPSPARTICIPANT, NULL, NULL);
    writers = dds_create_reader(participant, DDS_BUILTIN_TOPIC_DCPSPUBLICATION, NULL, NULL);
    readers = dds_create_reader(participant, DDS_BUILTIN_TOPIC_DCPSSUBSCRIPTION, NULL, NULL);
  }
  dds_entity_t writer = 0, reader = 0;
  if (strcmp(role, "pub") == 0) {
    dds_qset_ownership_strength(endpoint, 7);
    writer = dds_create_writer(dds_create_publisher(participant, group, NULL), topic, endpoint, NULL);
    if (writer < 0) return 1;
  } else if (strcmp(role, "sub") == 0) {
    reader = dds_create_reader(dds_create_subscriber(participant, group, NULL), topic, endpoint, NULL);
    if (reader < 0) return 1;
  }
  const char *id_text = numbered ? numbered : getenv("ID");
  plant_Reading reading = {.id = id_text ? atoi(id_text) : 1};
  reading.octets._length = reading.octets._maximum = octets;
  reading.octets._buffer = calloc(octets + 1, 1);
  printf("ready\n");
  fflush(stdout);
  uint32_t matched = 0;
  bool received = false, received_of[10] = {false};
  for (int step = 0; step * 0.02 < seconds; step++) {
    if (step * 0.02 >= endpoint_seconds && (writer > 0 || reader > 0)) {
      dds_delete(writer > 0 ? writer : reader);
      writer = reader = 0;
    }
    if (writer > 0 && step % 10 == 0) {
      const uint32_t number = (uint32_t)step / 10;
      if (numbered && octets >= sizeof number) memcpy(reading.octets._buffer, &number, sizeof number);
      dds_write(writer, &reading);
    }
    if (watch) print_changes(participants, writers, readers);
    dds_subscription_matched_status_t status;
    if (reader > 0 && dds_get_subscription_matched_status(reader, &status) == 0 && status.current_count != matched) {
      matched = status.current_count;
      printf("matched %u\n", matched);
      fflush(stdout);
    }
    void *sample = NULL;
    dds_sample_info_t info;
    for (; reader > 0 && watch && dds_take(reader, &sample, &info, 1, 1) > 0; dds_return_loan(reader, &sample, 1)) {
      if (info.valid_data && !received) printf("sample\n");
      const plant_Reading *taken = sample;
      uint32_t number = 0;
      if (info.valid_data && numbered && taken->octets._length >= sizeof number) {
        memcpy(&number, taken->octets._buffer, sizeof number);
        printf("sample %d %u\n", taken->id, number);
      }
      received = received || info.valid_data;
      const int id = info.valid_data ? ((const plant_Reading *)sample)->id : 0;
      if (id > 0 && id < 10 && !received_of[id]) printf("sample of %d\n", id);
      if (id > 0 && id < 10) received_of[id] = true;
      fflush(stdout);
    }
    dds_sleepfor(DDS_MSECS(20));
  }
  dds_delete(participant);
  return 0;
}
