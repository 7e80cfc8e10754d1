-- The cheapest quote of every batch.

-- A batch that arrived before its query was there counts as well.
SET 'ksql.streams.auto.offset.reset' = 'earliest';

-- Every enriched line of every batch; the key is the batch's id.
CREATE STREAM CFLIGHT (
    K VARCHAR KEY,
    DEPIATA VARCHAR,
    ARRIATA VARCHAR,
    SEARCHDATE VARCHAR,
    GBPPRICE DOUBLE,
    PAXCLASS VARCHAR,
    UUID VARCHAR,
    BATCHUUID VARCHAR,
    `TIMESTAMP` VARCHAR
  ) WITH (
    KAFKA_TOPIC = 'cflight.incoming',
    KEY_FORMAT = 'KAFKA',
    VALUE_FORMAT = 'AVRO'
  );

-- Grouping by the key needs no repartition. TOPK keeps the row's id beside its price: MIN(GBPPRICE) with
-- LATEST_BY_OFFSET(UUID) would pair one row's price with another row's id. The first of equal quotes wins.
CREATE TABLE CHEAPEST_FLIGHT WITH (
    KAFKA_TOPIC = 'CHEAPEST_FLIGHT',
    VALUE_FORMAT = 'AVRO'
  ) AS
  SELECT
    K,
    AS_VALUE(K) AS BATCHUUID,
    MIN(GBPPRICE) AS CHEAPEST_QUOTE,
    TOPK(-GBPPRICE, UUID, 1)[1]->`col0` AS UUID
  FROM CFLIGHT
  GROUP BY K
  EMIT CHANGES;
