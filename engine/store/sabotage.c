#include "store/sabotage.h"

#ifdef WALRUS_SABOTAGE
struct store_sabotage store_sabotage;
#else
typedef int sabotage_is_not_built; /* ISO C wants a declaration in every translation unit */
#endif
