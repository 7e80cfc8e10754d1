"""Airports: IATA codes with their places, for plausible fares."""

from __future__ import annotations

import math
from dataclasses import dataclass

_EARTH_KM = 6371.0


@dataclass(frozen=True)
class Airport:
    """An airport.

    Attributes:
        code: its IATA code.
        latitude: degrees north.
        longitude: degrees east.
        weight: how often it is flown from, relative to others.
    """

    code: str
    latitude: float
    longitude: float
    weight: int


def distance_km(one: Airport, other: Airport) -> float:
    """Return the great-circle distance of two airports in kilometres, by the haversine formula."""
    a, b = math.radians(one.latitude), math.radians(other.latitude)
    half = math.sin((b - a) / 2) ** 2
    half += math.cos(a) * math.cos(b) * math.sin(math.radians(other.longitude - one.longitude) / 2) ** 2
    return 2 * _EARTH_KM * math.asin(math.sqrt(half))


# Code, latitude, longitude, weight (from the order of the airports' yearly passengers).
_TABLE = """
LHR 51.47 -0.45 8   LGW 51.15 -0.19 5   STN 51.88 0.24 3    LTN 51.87 -0.37 2   MAN 53.35 -2.28 3   EDI 55.95 -3.37 2
GLA 55.87 -4.43 1   BHX 52.45 -1.75 1   BRS 51.38 -2.72 1   DUB 53.43 -6.25 3   ORK 51.84 -8.49 1   CDG 49.01 2.55 7
ORY 48.73 2.38 3    NCE 43.66 7.22 2    LYS 45.73 5.08 1    MRS 43.44 5.22 1    TLS 43.63 1.37 1    BRU 50.90 4.48 2
AMS 52.31 4.76 6    FRA 50.03 8.56 6    MUC 48.35 11.79 4   BER 52.36 13.50 2   DUS 51.29 6.77 2    HAM 53.63 9.99 2
ZRH 47.46 8.55 3    GVA 46.24 6.11 2    VIE 48.11 16.57 3   PRG 50.10 14.26 1   BUD 47.44 19.26 1   WAW 52.17 20.97 2
CPH 55.62 12.66 3   ARN 59.65 17.92 2   OSL 60.19 11.10 2   HEL 60.32 24.96 2   KEF 63.99 -22.61 1  MAD 40.47 -3.56 5
BCN 41.30 2.08 5    AGP 36.67 -4.50 2   PMI 39.55 2.74 3    ALC 38.28 -0.56 2   LIS 38.78 -9.14 3   OPO 41.24 -8.68 1
FAO 37.01 -7.97 1   FCO 41.80 12.24 4   MXP 45.63 8.72 2    VCE 45.51 12.35 1   NAP 40.88 14.29 1   CTA 37.47 15.07 1
ATH 37.94 23.94 2   SKG 40.52 22.97 1   HER 35.34 25.18 1   IST 41.26 28.74 6   SAW 40.90 29.31 2   AYT 36.90 30.80 2
LCA 34.88 33.62 1   TLV 32.01 34.89 1   CAI 30.12 31.41 2   RAK 31.61 -8.04 1   CMN 33.37 -7.59 1   JNB -26.14 28.25 1
CPT -33.97 18.60 1  NBO -1.32 36.93 1   DXB 25.25 55.36 7   DOH 25.27 51.61 4   AUH 24.43 54.65 2   DEL 28.57 77.10 4
BOM 19.09 72.87 3   BLR 13.20 77.71 2   CMB 7.18 79.88 1    MLE 4.19 73.53 1    BKK 13.69 100.75 4  SIN 1.36 103.99 5
KUL 2.75 101.71 3   CGK -6.13 106.66 3  HKG 22.31 113.92 4  MNL 14.51 121.02 2  PVG 31.14 121.81 3  PEK 40.08 116.58 4
ICN 37.46 126.44 4  NRT 35.76 140.39 3  HND 35.55 139.78 5  SYD -33.95 151.18 3 MEL -37.67 144.84 2 AKL -37.01 174.79 1
JFK 40.64 -73.78 5  EWR 40.69 -74.17 3  BOS 42.36 -71.01 2  IAD 38.94 -77.46 2  ATL 33.64 -84.43 5  MIA 25.79 -80.29 3
MCO 28.43 -81.31 3  ORD 41.98 -87.90 4  DFW 32.90 -97.04 4  DEN 39.86 -104.67 3 LAX 33.94 -118.41 5 SFO 37.62 -122.38 3
SEA 47.45 -122.31 2 LAS 36.08 -115.15 2 YYZ 43.68 -79.63 3  YVR 49.19 -123.18 2 MEX 19.44 -99.07 2  CUN 21.04 -86.88 2
BOG 4.70 -74.15 1   LIM -12.02 -77.11 1 GRU -23.43 -46.47 2 EZE -34.82 -58.54 1 SCL -33.39 -70.79 1
"""
_FIELDS = 4


def _read() -> tuple[Airport, ...]:
    words = _TABLE.split()
    cut = (words[at : at + _FIELDS] for at in range(0, len(words), _FIELDS))
    return tuple(Airport(code, float(north), float(east), int(weight)) for code, north, east, weight in cut)


AIRPORTS = _read()
