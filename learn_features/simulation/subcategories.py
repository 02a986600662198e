"""What the catalogue consists of: sub-categories, each in one category and one taste.

A taste runs across categories (new parents buy monitors, curtains and slow cookers), so what belongs
together by taste differs from what reads alike: that is what aligning text with behaviour can learn.
"""

# ruff: noqa: E501 (one row a sub-category)

from dataclasses import dataclass


@dataclass(frozen=True)
class SubCategory:
    """`use` ends "… for"; prices are the range in the shop's currency."""

    name: str
    category: str
    taste: str
    nouns: tuple[str, ...]
    features: tuple[str, ...]
    use: str
    price: tuple[float, float]


_OUTDOOR, _KITCHEN, _ELECTRONICS = "Outdoor & Camping", "Kitchen & Dining", "Electronics"
_HOME, _GARDEN, _SPORTS = "Home & Living", "Garden", "Sports & Fitness"
_CLOTHING, _BABY, _HEALTH = "Clothing & Accessories", "Toys & Baby", "Health & Beauty"
_OFFICE, _PETS, _MUSIC = "Office & Crafts", "Pets", "Music"

# fmt: off
_TABLE = (
    ("Tents", _OUTDOOR, "wild camping", "dome tent|tunnel tent|trekking tent", "taped seams|two vestibules|colour-coded poles|a sewn-in groundsheet", "nights in the hills", 60, 420),
    ("Headlamps", _ELECTRONICS, "wild camping", "headlamp|rechargeable headlamp|head torch", "a red night mode|300 lumens|a tilting beam|rain protection", "finding the way after dark", 15, 90),
    ("Enamel Mugs", _KITCHEN, "wild camping", "enamel mug|steel mug|double-walled cup", "a rolled rim|a carabiner handle|a printed scale|a snug lid", "coffee by the fire", 6, 35),
    ("Base Layers", _CLOTHING, "wild camping", "merino base layer|thermal shirt|thermal leggings", "flat seams|thumb loops|odour control|a long back", "cold mornings outside", 25, 120),
    ("Coffee Grinders", _KITCHEN, "slow mornings", "burr coffee grinder|hand coffee grinder|espresso grinder", "conical burrs|40 grind settings|a glass hopper|low retention", "freshly ground beans", 30, 380),
    ("Espresso Cups", _KITCHEN, "slow mornings", "espresso cup set|cappuccino cup|tasting cup pair", "thick walls|a curved handle|matching saucers|a hand-thrown look", "the first cup of the day", 9, 60),
    ("Turntables", _MUSIC, "slow mornings", "belt-drive turntable|record player|vinyl turntable", "a moving-magnet cartridge|a built-in preamp|auto-stop|a damped platter", "listening to whole albums", 90, 700),
    ("Bathrobes", _CLOTHING, "slow mornings", "waffle bathrobe|linen robe|hooded bathrobe", "deep pockets|a shawl collar|a soft belt|quick drying", "unhurried Sundays", 30, 140),
    ("Standing Desks", _OFFICE, "remote work", "standing desk|desk converter|height-adjustable desk", "three memory heights|a cable tray|an anti-collision stop|a quiet motor", "a day of calls and writing", 140, 800),
    ("Headphones", _ELECTRONICS, "remote work", "noise-cancelling headphones|over-ear headphones|conference headset", "30 hours of battery|a beam-forming microphone|soft ear pads|two paired devices", "focus in a loud flat", 45, 380),
    ("Desk Lamps", _HOME, "remote work", "desk lamp|monitor light bar|clamp lamp", "five colour temperatures|a dimmer|glare-free light|a weighted base", "late pages without tired eyes", 20, 160),
    ("Plant Pots", _GARDEN, "remote work", "plant pot|self-watering planter|hanging planter", "a water gauge|a drip tray|drainage holes|a matt glaze", "green company on the shelf", 8, 70),
    ("Baby Monitors", _BABY, "new parents", "baby monitor|video baby monitor|breathing monitor", "night vision|two-way audio|a room thermometer|an encrypted link", "hearing every little sigh", 40, 260),
    ("Blackout Curtains", _HOME, "new parents", "blackout curtain pair|thermal curtain|travel blackout blind", "full dimming|sound damping|suction cups|an easy header tape", "naps at noon", 20, 110),
    ("Slow Cookers", _KITCHEN, "new parents", "slow cooker|multi cooker|electric pressure cooker", "a keep-warm mode|a delayed start|a stoneware pot|a 6 litre bowl", "dinners that cook themselves", 35, 190),
    ("Nursing Pillows", _BABY, "new parents", "nursing pillow|pregnancy pillow|support cushion", "a washable cover|micro-bead filling|an adjustable waist|a side pocket", "long feeding hours", 20, 90),
    ("Running Shoes", _CLOTHING, "endurance", "running shoe|trail running shoe|tempo shoe", "a rocker sole|8 mm drop|a knitted upper|a carbon plate", "long Sunday miles", 60, 240),
    ("Sports Watches", _ELECTRONICS, "endurance", "GPS sports watch|running watch|heart rate watch", "dual-band GPS|wrist heart rate|training load|14 days of battery", "pacing by numbers", 90, 600),
    ("Foam Rollers", _SPORTS, "endurance", "foam roller|massage ball set|massage stick", "deep grooves|three densities|a hollow core|a carry strap", "legs after the long run", 12, 70),
    ("Electrolytes", _HEALTH, "endurance", "electrolyte tablets|isotonic drink powder|energy gel box", "no added sugar|a citrus taste|magnesium|single sachets", "the last ten kilometres", 8, 45),
    ("Yoga Mats", _SPORTS, "calm and balance", "yoga mat|travel yoga mat|alignment mat", "a non-slip surface|6 mm cushioning|alignment lines|a carrying strap", "a daily practice", 18, 120),
    ("Aroma Diffusers", _HEALTH, "calm and balance", "aroma diffuser|ultrasonic diffuser|scented candle set", "a warm glow|an auto shut-off|a silent mist|an 8 hour tank", "evenings that wind down", 15, 90),
    ("Herbal Teas", _KITCHEN, "calm and balance", "herbal tea blend|loose leaf chamomile tea|ginger tea box", "whole leaves|a resealable pouch|a gentle honey note|no caffeine", "a quiet half hour", 5, 30),
    ("Singing Bowls", _MUSIC, "calm and balance", "singing bowl|hand pan drum|wind chime", "a suede striker|a long sustain|a felt cushion|a deep tone", "meditation and rest", 20, 220),
    ("Cake Tins", _KITCHEN, "baking", "springform cake tin|loaf tin|bundt pan", "a non-stick coating|a leak-proof base|even browning|embossed measures", "birthday cakes and Sunday loaves", 8, 45),
    ("Aprons", _CLOTHING, "baking", "kitchen apron|cross-back apron|half apron", "a towel loop|two pockets|adjustable straps|a stain guard", "floury hands", 12, 60),
    ("Recipe Notebooks", _OFFICE, "baking", "recipe notebook|recipe card box|meal planner", "tabbed dividers|wipe-clean pages|an index|a ribbon marker", "handing down what tastes good", 8, 40),
    ("Party Decorations", _BABY, "baking", "bunting garland|cake topper set|balloon arch kit", "reusable pieces|a number set|ribbon ties|easy clips", "a table full of guests", 5, 40),
    ("Dog Leads", _PETS, "dog life", "dog lead|hands-free dog lead|dog harness", "a padded handle|reflective stitching|a shock absorber|a swivel hook", "walks in any light", 10, 65),
    ("Dog Beds", _PETS, "dog life", "orthopaedic dog bed|dog cushion|dog travel mat", "memory foam|a chew-proof cover|a raised rim|a waterproof liner", "old bones and muddy paws", 25, 180),
    ("Robot Vacuums", _ELECTRONICS, "dog life", "robot vacuum|cordless vacuum|pet hair vacuum", "an anti-tangle brush|room mapping|a self-emptying dock|a HEPA filter", "hair on every floor", 110, 750),
    ("Rain Jackets", _CLOTHING, "dog life", "rain jacket|packable raincoat|waterproof parka", "pit zips|a peaked hood|welded seams|a treat pocket", "wet Tuesday mornings", 40, 260),
    ("Cat Trees", _PETS, "cats and books", "cat tree|scratching post|wall climbing shelf", "sisal posts|a hammock|a heavy base|a hiding cave", "climbers and nappers", 25, 190),
    ("Pet Fountains", _PETS, "cats and books", "pet water fountain|automatic feeder|cat fountain", "a carbon filter|a quiet pump|a water level window|portion control", "fussy drinkers", 20, 110),
    ("Reading Cushions", _HOME, "cats and books", "reading cushion|backrest pillow|wool throw", "armrests|a book pocket|a washable cover|a grab handle", "one more chapter", 20, 90),
    ("Bookends", _OFFICE, "cats and books", "bookend pair|book stand|reading journal", "felt feet|a page holder|a folding frame|a weighted core", "shelves that overflow", 10, 60),
    ("Raised Beds", _GARDEN, "kitchen garden", "raised garden bed|cold frame|grow bag set", "tool-free assembly|rot-proof boards|a plant liner|a hinged lid", "tomatoes and beans", 25, 220),
    ("Watering Cans", _GARDEN, "kitchen garden", "watering can|garden hose reel|pressure sprayer", "a brass rose|a long spout|a balanced handle|a fine mist", "dry weeks in July", 12, 95),
    ("Preserving Jars", _KITCHEN, "kitchen garden", "preserving jar set|fermenting crock|jam jar box", "clip lids|rubber seals|a wide mouth|airlock valves", "keeping the harvest", 10, 70),
    ("Garden Clogs", _CLOTHING, "kitchen garden", "garden clog|rubber boot|kneeling pad", "a deep tread|a removable insole|a pull loop|a hose-clean surface", "soil up to the ankles", 15, 85),
    ("Camera Bags", _ELECTRONICS, "photography", "camera backpack|camera sling|lens pouch", "padded dividers|a rain cover|side access|a tripod strap", "carrying two bodies and a lens", 30, 260),
    ("Tripods", _ELECTRONICS, "photography", "travel tripod|tabletop tripod|monopod", "a ball head|twist locks|a quick-release plate|a centre hook", "long exposures at dawn", 25, 320),
    ("Picture Frames", _HOME, "photography", "picture frame|gallery frame set|photo ledge", "a mount board|anti-glare glass|hidden hangers|a deep profile", "prints worth a wall", 10, 110),
    ("Walking Boots", _OUTDOOR, "photography", "walking boot|approach shoe|gaiter pair", "a waterproof membrane|a stiff shank|ankle support|a grippy sole", "reaching the viewpoint", 50, 260),
    ("Gaming Keyboards", _ELECTRONICS, "gaming", "mechanical gaming keyboard|gaming mouse|game controller", "hot-swap switches|per-key lighting|a 1 ms response|macro keys", "ranked matches", 35, 230),
    ("Gaming Chairs", _OFFICE, "gaming", "gaming chair|ergonomic racing chair|floor gaming chair", "4D armrests|lumbar support|a 160 degree recline|cold-cure foam", "all-night raids", 120, 520),
    ("Light Strips", _HOME, "gaming", "LED light strip|light panel kit|neon rope light", "music sync|16 million colours|cut-to-length segments|a remote", "a glowing back wall", 15, 150),
    ("Snack Boxes", _KITCHEN, "gaming", "protein snack box|crisps variety box|instant ramen pack", "bold spice|24 packs|no palm oil|a hot and sour taste", "halftime hunger", 8, 45),
    ("Bike Helmets", _SPORTS, "city cycling", "bike helmet|commuter helmet|folding helmet", "rotational protection|a rear light|a magnetic buckle|18 vents", "traffic at rush hour", 35, 200),
    ("Bike Lights", _ELECTRONICS, "city cycling", "bike light set|dynamo headlight|rear bike light", "USB charging|a brake signal|a side glow|a rubber mount", "dark commutes", 15, 120),
    ("Messenger Bags", _CLOTHING, "city cycling", "messenger bag|roll-top backpack|pannier bag", "a laptop sleeve|waterproof welds|a stabiliser strap|reflective panels", "laptop, lunch and lock", 35, 210),
    ("Multi-Tools", _OUTDOOR, "city cycling", "multi-tool|folding hex key set|pocket pump", "a chain breaker|hardened bits|a belt clip|tyre levers", "repairs by the kerb", 15, 110),
    ("Guitar Strings", _MUSIC, "band practice", "guitar string set|bass string set|guitar pick tin", "a coated winding|a bright tone|a light gauge|three pairs", "the rehearsal room", 5, 45),
    ("Effects Pedals", _MUSIC, "band practice", "overdrive pedal|delay pedal|loop pedal", "true bypass|tap tempo|a metal case|stereo outputs", "a wall of sound", 45, 330),
    ("Ear Plugs", _HEALTH, "band practice", "musician ear plug pair|hearing protection set|throat lozenge tin", "a flat filter|a neck cord|soft tips|a key-ring case", "loud nights", 6, 50),
    ("Denim Jackets", _CLOTHING, "band practice", "denim jacket|trucker jacket|biker vest", "chest pockets|copper buttons|a boxy cut|a patched back", "the walk from the van to the stage", 40, 190),
    ("Sewing Machines", _OFFICE, "making things", "sewing machine|overlocker|embroidery machine", "60 stitches|a needle threader|a free arm|automatic tension", "hems, quilts and costumes", 90, 650),
    ("Fabric Bundles", _OFFICE, "making things", "fabric bundle|yarn set|felt sheet pack", "pre-cut squares|matching colours|a soft hand|tested dyes", "the next pattern", 8, 70),
    ("Storage Baskets", _HOME, "making things", "storage basket|stackable drawer|peg board", "rope handles|label tags|a fold-flat shape|adjustable pegs", "a tidy workroom", 10, 80),
    ("Magnifying Lamps", _HEALTH, "making things", "magnifying lamp|clip-on magnifier|reading glasses", "a 5 dioptre lens|a daylight ring|a bendable neck|a spring arm", "tiny stitches", 15, 120),
    ("Swimwear", _CLOTHING, "beach days", "swimsuit|board shorts|rash vest", "UV 50 protection|chlorine resistance|a quick-dry lining|a tie waist", "waves and sand", 18, 95),
    ("Sunscreens", _HEALTH, "beach days", "mineral sunscreen|sunscreen spray|after-sun lotion", "SPF 50|water resistance|no white cast|a reef-safe formula", "skin at noon", 7, 40),
    ("Cool Boxes", _OUTDOOR, "beach days", "cool box|insulated bag|wheeled cooler", "three days of ice|a drain plug|a bottle opener|a bench lid", "cold drinks far from a fridge", 20, 240),
    ("Inflatables", _BABY, "beach days", "inflatable lounger|paddling pool|swim ring", "double valves|a repair patch|cup holders|a hand pump", "a lazy float", 8, 80),
    ("Dumbbells", _SPORTS, "strength", "adjustable dumbbell pair|kettlebell|resistance band set", "a knurled grip|quick-change plates|a flat base|numbered weights", "five by five at home", 15, 330),
    ("Protein Powders", _HEALTH, "strength", "whey protein powder|vegan protein powder|creatine tub", "24 g of protein|a vanilla taste|easy mixing|batch testing", "the hour after lifting", 15, 80),
    ("Speakers", _ELECTRONICS, "strength", "Bluetooth speaker|portable party speaker|waterproof speaker", "20 hours of play|a deep bass port|stereo pairing|a rubber shell", "one more set", 25, 280),
    ("Meal Prep Boxes", _KITCHEN, "strength", "meal prep box set|lunch box|shaker bottle", "three compartments|a leak-proof lid|oven safety|stackable shapes", "a week of chicken and rice", 8, 50),
    ("Suitcases", _CLOTHING, "travel light", "cabin suitcase|carry-on backpack|packing cube set", "silent wheels|a lock|a compression zip|a 40 litre hold", "one bag and no queue", 25, 340),
    ("Power Banks", _ELECTRONICS, "travel light", "power bank|travel adapter|wall charger", "65 W output|three ports|pass-through charging|a cabin-safe size", "airports without sockets", 15, 120),
    ("Travel Pillows", _OUTDOOR, "travel light", "travel pillow|sleep mask set|packable blanket", "a chin support|a stuff sack|a cool cover|an inflatable core", "red-eye flights", 10, 70),
    ("Toiletry Bags", _HEALTH, "travel light", "toiletry bag|refill bottle set|solid shampoo tin", "a hanging hook|a clear pocket|leak-proof caps|a flat fold", "hotel bathrooms", 8, 60),
)
# fmt: on

SUBCATEGORIES: tuple[SubCategory, ...] = tuple(
    SubCategory(name, category, taste, tuple(nouns.split("|")), tuple(features.split("|")), use, (low, high))
    for name, category, taste, nouns, features, use, low, high in _TABLE
)
CATEGORIES: tuple[str, ...] = tuple(dict.fromkeys(s.category for s in SUBCATEGORIES))
TASTES: tuple[str, ...] = tuple(dict.fromkeys(s.taste for s in SUBCATEGORIES))
