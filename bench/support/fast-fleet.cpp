/*
 * Many Fast DDS participants in one process, each with a writer and a reader of topic "Reading".
 * fast-fleet COUNT ALL (relay ADDRESS PORT | server ADDRESS PORT | multicast)
 * It prints known MILLISECONDS (of the epoch) when each of its participants knows ALL, and matched MILLISECONDS when each
 * of its readers has matched ALL writers. It ends when its input does. They speak to each other by UDP alone, as participants of different machines would.
 */
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <sstream>
#include <string>
#include <unistd.h>
#include <vector>

#include <fastdds/dds/domain/DomainParticipant.hpp>
#include <fastdds/dds/domain/DomainParticipantFactory.hpp>
#include <fastdds/dds/domain/DomainParticipantListener.hpp>
#include <fastdds/dds/publisher/Publisher.hpp>
#include <fastdds/dds/subscriber/DataReader.hpp>
#include <fastdds/dds/subscriber/DataReaderListener.hpp>
#include <fastdds/dds/subscriber/Subscriber.hpp>
#include <fastdds/dds/topic/Topic.hpp>
#include <fastdds/dds/topic/TopicDataType.hpp>
#include <fastdds/dds/topic/TypeSupport.hpp>
#include <fastdds/rtps/attributes/ServerAttributes.h>
#include <fastdds/rtps/transport/UDPv4TransportDescriptor.h>
#include <fastrtps/utils/IPLocator.h>
#include <fastrtps/xmlparser/XMLProfileManager.h>

using namespace eprosima::fastdds::dds;
using namespace eprosima::fastrtps::rtps;

/* A type with a name; nothing is ever written. */
class Empty : public TopicDataType {
public:
  Empty() { setName("plant::Reading"); m_typeSize = 16; m_isGetKeyDefined = false; }
  bool serialize(void *, SerializedPayload_t *payload) override { payload->length = 4; return true; }
  bool deserialize(SerializedPayload_t *, void *) override { return true; }
  std::function<uint32_t()> getSerializedSizeProvider(void *) override { return [] { return 4u; }; }
  void *createData() override { return new char[16]; }
  void deleteData(void *data) override { delete[] static_cast<char *>(data); }
  bool getKey(void *, InstanceHandle_t *, bool) override { return false; }
};

static int everybody, count;
static std::atomic<int> knowing{0}, matched{0};

static void say(const char *what) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  printf("%s %lld\n", what, static_cast<long long>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count()));
  fflush(stdout);
}

class Others : public DomainParticipantListener {
  void on_participant_discovery(DomainParticipant *, ParticipantDiscoveryInfo &&info) override {
    // The server is one as well; its prefix begins with 44.53.
    const auto &prefix = info.info.m_guid.guidPrefix.value;
    if (info.status != ParticipantDiscoveryInfo::DISCOVERED_PARTICIPANT || (prefix[0] == 0x44 && prefix[1] == 0x53)) return;
    if (++known == everybody - 1 && ++knowing == count) say("known");
  }
  std::atomic<int> known{0};
};

class Matches : public DataReaderListener {
  void on_subscription_matched(DataReader *, const SubscriptionMatchedStatus &status) override {
    if (status.current_count != everybody || done) return;
    done = true;
    if (++matched == count) say("matched");
  }
  bool done = false;
};

int main(int argc, char **argv) {
  if (argc < 4) return 2;
  count = atoi(argv[1]);
  everybody = atoi(argv[2]);
  const std::string way = argv[3];
  eprosima::fastrtps::LibrarySettingsAttributes library;
  library.intraprocess_delivery = eprosima::fastrtps::INTRAPROCESS_OFF;
  eprosima::fastrtps::xmlparser::XMLProfileManager::library_settings(library);

  DomainParticipantQos qos;
  qos.transport().use_builtin_transports = false;
  qos.transport().user_transports.push_back(std::make_shared<eprosima::fastdds::rtps::UDPv4TransportDescriptor>());
  auto &builtin = qos.wire_protocol().builtin;
  // Hundreds of them are at one address.
  builtin.mutation_tries = 1000;
  if (way != "multicast") {
    if (argc < 6) return 2;
    Locator_t peer(LOCATOR_KIND_UDPv4, atoi(argv[5]));
    eprosima::fastrtps::rtps::IPLocator::setIPv4(peer, argv[4]);
    if (way == "relay") builtin.initialPeersList.push_back(peer);
    else {
      builtin.discovery_config.discoveryProtocol = DiscoveryProtocol_t::CLIENT;
      eprosima::fastdds::rtps::RemoteServerAttributes server;
      // That of fast-discovery-server -i 0.
      server.ReadguidPrefix("44.53.00.5f.45.50.52.4f.53.49.4d.41");
      server.metatrafficUnicastLocatorList.push_back(peer);
      builtin.discovery_config.m_DiscoveryServers.push_back(server);
    }
  }
  std::vector<std::unique_ptr<Matches>> listeners;
  std::vector<std::unique_ptr<Others>> others;
  for (int i = 0; i < count; i++) {
    others.push_back(std::make_unique<Others>());
    auto *participant = DomainParticipantFactory::get_instance()->create_participant(
        0, qos, others.back().get(), StatusMask::none());
    if (participant == nullptr) return 1;
    TypeSupport type(new Empty());
    type.register_type(participant);
    Topic *topic = participant->create_topic("Reading", type.get_type_name(), TOPIC_QOS_DEFAULT);
    listeners.push_back(std::make_unique<Matches>());
    if (participant->create_publisher(PUBLISHER_QOS_DEFAULT)->create_datawriter(topic, DATAWRITER_QOS_DEFAULT) == nullptr) return 1;
    if (participant->create_subscriber(SUBSCRIBER_QOS_DEFAULT)->create_datareader(topic, DATAREADER_QOS_DEFAULT, listeners.back().get()) == nullptr) return 1;
  }
  char octet;
  while (read(0, &octet, 1) > 0) continue;
  _exit(0);
}
