/* The library's ecp_curves.c without P-521, which ecp_curves_p521.c has: the table of multiples of its
 * generator is 6 KB, and it is there to verify with alone. One switch of the configuration decides
 * about the tables of all curves in a file. */
#include <common.h>
#include <mbedtls/ecp.h>

int postern_ecp_load_p521(mbedtls_ecp_group *grp);

#undef MBEDTLS_ECP_DP_SECP521R1_ENABLED
#define mbedtls_ecp_group_load postern_ecp_load
#include <ecp_curves.c>
#undef mbedtls_ecp_group_load

int mbedtls_ecp_group_load(mbedtls_ecp_group *grp, mbedtls_ecp_group_id id)
{
    return id == MBEDTLS_ECP_DP_SECP521R1 ? postern_ecp_load_p521(grp) : postern_ecp_load(grp, id);
}
