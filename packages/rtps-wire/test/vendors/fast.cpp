/*
 * A Fast DDS participant with one endpoint of topic "Reading" in partition "north".
 * fast DOMAIN pub|sub|none SECONDS USER_DATA_OCTETS SAMPLE_OCTETS MAX_DATAGRAM [secure FOLDER | v6 | peer ADDRESS | peer6 ADDRESS]
 * A MAX_DATAGRAM of 0 leaves Fast DDS's own. It leaves in order when its time is over. It prints a line for each change
 * that it sees: found or lost PREFIX, writer or reader PREFIX TOPIC, matched NUMBER, sample when the first one comes,
 * and sample of ID when the first one of a publisher comes. With PLAIN in the
 * environment a reader asks for no durability, deadline or liveliness of its peer. Samples are of instance ID, or 1. With a peer it announces itself to that address alone, at the domain's port.
 * With BEST_EFFORT in the environment the endpoint is not reliable, with PARTITION it is in that one, and with
 * ENDPOINT_SECONDS a writer is deleted after that time while the participant stays. With NUMBERED it keeps nothing for readers
 * that come late, writes instance NUMBERED with a number in its octets, and prints each sample that comes: sample INSTANCE NUMBER.
 */
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <fastdds/dds/domain/DomainParticipant.hpp>
#include <fastdds/dds/domain/DomainParticipantFactory.hpp>
#include <fastdds/dds/domain/DomainParticipantListener.hpp>
#include <fastdds/dds/publisher/DataWriter.hpp>
#include <fastdds/dds/publisher/Publisher.hpp>
#include <fastdds/dds/subscriber/DataReader.hpp>
#include <fastdds/dds/subscriber/SampleInfo.hpp>
#include <fastdds/dds/subscriber/Subscriber.hpp>
#include <fastdds/dds/topic/Topic.hpp>
#include <fastdds/dds/topic/TopicDataType.hpp>
#include <fastdds/dds/topic/TypeSupport.hpp>
#include <fastdds/rtps/transport/UDPv4TransportDescriptor.h>
#include <fastdds/rtps/transport/UDPv6TransportDescriptor.h>
#include <fastrtps/utils/IPLocator.h>

using namespace eprosima::fastdds::dds;
using eprosima::fastdds::rtps::UDPv4TransportDescriptor;
using eprosima::fastdds::rtps::UDPv6TransportDescriptor;
using eprosima::fastrtps::rtps::InstanceHandle_t;
using eprosima::fastrtps::rtps::SerializedPayload_t;

struct Reading { int32_t id; std::vector<char> octets; };

/* plant::Reading in plain CDR, little-endian: id, length, octets. */
class ReadingType : public TopicDataType {
public:
  ReadingType() { setName("plant::Reading"); m_typeSize = 200000; m_isGetKeyDefined = true; }
  bool serialize(void *data, SerializedPayload_t *payload) override {
    const auto *reading = static_cast<Reading *>(data);
    const uint32_t count = static_cast<uint32_t>(reading->octets.size());
    const unsigned char head[4] = {0, 1, 0, 0};
    memcpy(payload->data, head, 4);
    memcpy(payload->data + 4, &reading->id, 4);
    memcpy(payload->data + 8, &count, 4);
    if (count > 0) memcpy(payload->data + 12, reading->octets.data(), count);
    payload->length = 12 + count;
    return true;
  }
  bool deserialize(SerializedPayload_t *payload, void *data) override {
    if (payload->length < 12) return false;
    auto *reading = static_cast<Reading *>(data);
    memcpy(&reading->id, payload->data + 4, 4);
    reading->octets.assign(payload->data + 12, payload->data + payload->length);
    return true;
  }
  std::function<uint32_t()> getSerializedSizeProvider(void *data) override {
    const uint32_t size = 12 + static_cast<uint32_t>(static_cast<Reading *>(data)->octets.size());
    return [size] { return size; };
  }
  void *createData() override { return new Reading(); }
  void deleteData(void *data) override { delete static_cast<Reading *>(data); }
  bool getKey(void *data, InstanceHandle_t *handle, bool) override {
    memset(handle->value, 0, 16);
    handle->value[3] = static_cast<unsigned char>(static_cast<Reading *>(data)->id);
    return true;
  }
};

using namespace eprosima::fastrtps::rtps;

static std::string prefix_of(const GUID_t &guid) {
  char text[25];
  for (int i = 0; i < 12; i++) snprintf(text + 2 * i, 3, "%02x", guid.guidPrefix.value[i]);
  return text;
}

class Changes : public DomainParticipantListener {
  void on_participant_discovery(DomainParticipant *, ParticipantDiscoveryInfo &&info) override {
    if (info.status == ParticipantDiscoveryInfo::CHANGED_QOS_PARTICIPANT) return;
    const bool found = info.status == ParticipantDiscoveryInfo::DISCOVERED_PARTICIPANT;
    printf("%s %s\n", found ? "found" : "lost", prefix_of(info.info.m_guid).c_str());
    fflush(stdout);
  }
  void on_publisher_discovery(DomainParticipant *, WriterDiscoveryInfo &&info) override {
    if (info.status != WriterDiscoveryInfo::DISCOVERED_WRITER) return;
    printf("writer %s %s\n", prefix_of(info.info.guid()).c_str(), info.info.topicName().c_str());
    fflush(stdout);
  }
  void on_subscriber_discovery(DomainParticipant *, ReaderDiscoveryInfo &&info) override {
    if (info.status != ReaderDiscoveryInfo::DISCOVERED_READER) return;
    printf("reader %s %s\n", prefix_of(info.info.guid()).c_str(), info.info.topicName().c_str());
    fflush(stdout);
  }
  void on_subscription_matched(DataReader *, const SubscriptionMatchedStatus &status) override {
    printf("matched %d\n", status.current_count);
    fflush(stdout);
  }
  void on_data_on_readers(Subscriber *subscriber) override {
    std::vector<DataReader *> readers;
    subscriber->get_datareaders(readers);
    Reading reading;
    SampleInfo info;
    for (DataReader *reader : readers) {
      while (reader->take_next_sample(&reading, &info) == ReturnCode_t::RETCODE_OK) {
        if (info.valid_data && !received) printf("sample\n");
        received = received || info.valid_data;
        uint32_t number = 0;
        if (info.valid_data && getenv("NUMBERED") && reading.octets.size() >= sizeof number) {
          memcpy(&number, reading.octets.data(), sizeof number);
          printf("sample %d %u\n", reading.id, number);
        }
        if (info.valid_data && received_of.insert(reading.id).second) printf("sample of %d\n", reading.id);
      }
    }
    fflush(stdout);
  }
  bool received = false;
  std::set<int32_t> received_of;
};

int main(int argc, char **argv) {
  if (argc < 7) return 2;
  const std::string role = argv[2], mode = argc > 7 ? argv[7] : "";
  const double seconds = atof(argv[3]);
  const size_t user_data = atoi(argv[4]), octets = atoi(argv[5]);
  const uint32_t max_datagram = atoi(argv[6]);
  std::vector<uint8_t> blob(user_data);
  for (size_t i = 0; i < user_data; i++) blob[i] = static_cast<uint8_t>('a' + i % 26);

  auto *factory = DomainParticipantFactory::get_instance();
  DomainParticipantQos qos;
  if (mode == "profile") {  // what FASTRTPS_DEFAULT_PROFILES_FILE says, as rmw_fastrtps takes it
    factory->load_profiles();
    qos = factory->get_default_participant_qos();
  }
  qos.name("recorded");
  qos.user_data().setValue(std::vector<uint8_t>(blob.begin(), blob.begin() + std::min<size_t>(64, user_data)));
  auto &properties = qos.properties().properties();
  if (mode != "secure") {
    eprosima::fastrtps::rtps::Property announced("plant.site", "north");
    announced.propagate(true);
    properties.push_back(announced);
  }
  if (mode == "peer" || mode == "peer6") {
    Locator_t peer(mode == "peer" ? LOCATOR_KIND_UDPv4 : LOCATOR_KIND_UDPv6, 7400 + 250 * atoi(argv[1]));
    if (mode == "peer") eprosima::fastrtps::rtps::IPLocator::setIPv4(peer, argv[8]);
    else eprosima::fastrtps::rtps::IPLocator::setIPv6(peer, argv[8]);
    qos.wire_protocol().builtin.initialPeersList.push_back(peer);
  }
  if (mode == "v6" || mode == "peer6") {
    qos.transport().use_builtin_transports = false;
    qos.transport().user_transports.push_back(std::make_shared<UDPv6TransportDescriptor>());
  } else if (max_datagram > 0) {
    qos.transport().use_builtin_transports = false;
    auto transport = std::make_shared<UDPv4TransportDescriptor>();
    transport->maxMessageSize = max_datagram;
    qos.transport().user_transports.push_back(transport);
  }
  if (mode == "secure") {
    const std::string folder = std::string("file://") + argv[8] + "/";
    const std::string auth = "dds.sec.auth.builtin.PKI-DH.", access = "dds.sec.access.builtin.Access-Permissions.";
    properties.emplace_back("dds.sec.auth.plugin", "builtin.PKI-DH");
    properties.emplace_back(auth + "identity_ca", folder + "ca.pem");
    properties.emplace_back(auth + "identity_certificate", folder + "cert.pem");
    properties.emplace_back(auth + "private_key", folder + "key.pem");
    properties.emplace_back("dds.sec.crypto.plugin", "builtin.AES-GCM-GMAC");
    properties.emplace_back("dds.sec.access.plugin", "builtin.Access-Permissions");
    properties.emplace_back(access + "permissions_ca", folder + "ca.pem");
    properties.emplace_back(access + "governance", folder + "governance.smime");
    properties.emplace_back(access + "permissions", folder + "permissions.smime");
  }

  Changes changes;
  auto *participant = factory->create_participant(atoi(argv[1]), qos, &changes);
  if (participant == nullptr) return 1;
  TypeSupport type(new ReadingType());
  type.register_type(participant);
  Topic *topic = participant->create_topic("Reading", type.get_type_name(), TOPIC_QOS_DEFAULT);

  const char *partition = getenv("PARTITION") ? getenv("PARTITION") : "north";
  const char *numbered = getenv("NUMBERED");
  const auto durability = numbered ? VOLATILE_DURABILITY_QOS : TRANSIENT_LOCAL_DURABILITY_QOS;
  const auto reliability = getenv("BEST_EFFORT") ? BEST_EFFORT_RELIABILITY_QOS : RELIABLE_RELIABILITY_QOS;
  const double endpoint_seconds = getenv("ENDPOINT_SECONDS") ? atof(getenv("ENDPOINT_SECONDS")) : seconds;
  Publisher *publisher = nullptr;
  DataWriter *writer = nullptr;
  if (role == "pub") {
    PublisherQos group;
    group.partition().push_back(partition);
    DataWriterQos endpoint;
    endpoint.reliability().kind = reliability;
    endpoint.durability().kind = durability;
    endpoint.deadline().period = {2, 0};
    endpoint.liveliness().kind = MANUAL_BY_TOPIC_LIVELINESS_QOS;
    endpoint.liveliness().lease_duration = {5, 0};
    endpoint.liveliness().announcement_period = {1, 0};
    endpoint.ownership().kind = EXCLUSIVE_OWNERSHIP_QOS;
    endpoint.ownership_strength().value = 7;
    endpoint.user_data().setValue(blob);
    if (octets > 60000 || max_datagram > 0) endpoint.publish_mode().kind = ASYNCHRONOUS_PUBLISH_MODE;
    publisher = participant->create_publisher(group);
    writer = publisher->create_datawriter(topic, endpoint);
    if (writer == nullptr) return 1;
  } else if (role == "sub") {
    SubscriberQos group;
    group.partition().push_back(partition);
    DataReaderQos endpoint;
    endpoint.reliability().kind = reliability;
    if (getenv("PLAIN") == nullptr) {
      endpoint.durability().kind = durability;
      endpoint.deadline().period = {2, 0};
      endpoint.liveliness().kind = MANUAL_BY_TOPIC_LIVELINESS_QOS;
      endpoint.liveliness().lease_duration = {5, 0};
    }
    endpoint.ownership().kind = EXCLUSIVE_OWNERSHIP_QOS;
    endpoint.user_data().setValue(blob);
    if (participant->create_subscriber(group)->create_datareader(topic, endpoint) == nullptr) return 1;
  }
  printf("ready\n");
  fflush(stdout);
  const char *id = numbered ? numbered : getenv("ID");
  Reading reading{id ? atoi(id) : 1, std::vector<char>(octets)};
  uint32_t number = 0;
  for (double passed = 0; passed < seconds; passed += 0.2, number++) {
    if (numbered && octets >= sizeof number) memcpy(reading.octets.data(), &number, sizeof number);
    if (writer != nullptr && passed >= endpoint_seconds) {
      publisher->delete_datawriter(writer);
      writer = nullptr;
    }
    if (writer != nullptr) writer->write(&reading);
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  participant->delete_contained_entities();
  DomainParticipantFactory::get_instance()->delete_participant(participant);
  return 0;
}
